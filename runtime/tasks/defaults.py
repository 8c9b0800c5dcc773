"""Which models answer a task where nobody says: on the command line as in the server.

Ids that a conversion gives; an artifacts directory may hold any of them, or none.
"""

from runtime.tasks.soft_voting import Weights

FACE_EMOTION_WEIGHTS: Weights = (  # who votes on a face's emotion, of those that are there
    ("face_emotion_yolov8n", 0.4),
    ("face_emotion_efficientnet_b3", 0.4),
    ("face_emotion_arcface", 0.2),
)
FACE_EMOTION_MODEL = "face_emotion_xception"  # where none of them is
FACE_DETECTOR_MODEL = "face_detector_yunet"
VOICE_EMOTION_MODEL = "voice_emotion_wav2vec2"
GAIT_MODEL = "gait_student"
SIMILARITY_MODEL = "image_embedding_mobilenetv2"
BACKGROUND_MODEL = "background_u2netp"
