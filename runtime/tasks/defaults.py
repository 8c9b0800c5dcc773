"""The models that answer a task by default, on the command line and in the server.

The ids are those of the recipes in `convert.models`. An artifacts directory may lack any of them.
"""

from runtime.tasks.soft_voting import Weights

FACE_EMOTION_WEIGHTS: Weights = (  # members of the ensemble; absent ones are ignored
    ("face_emotion_yolov8n", 0.4),
    ("face_emotion_efficientnet_b3", 0.4),
    ("face_emotion_arcface", 0.2),
)
FACE_EMOTION_MODEL = "face_emotion_xception"  # the fallback if no member is present
FACE_DETECTOR_MODEL = "face_detector_yunet"
FACE_DETECTOR_FALLBACK = "face_detector_blazeface"  # if that one is absent, and no other is named
VOICE_EMOTION_MODEL = "voice_emotion_wav2vec2"
GAIT_MODEL = "gait_student"
SIMILARITY_MODEL = "image_embedding_mobilenetv2"
BACKGROUND_MODEL = "background_u2netp"
