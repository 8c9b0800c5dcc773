"""POST /v1/voice-emotion: the emotion of a voice."""

from serve.routes.predict import FORMS, predict

FORM = FORMS["audio-classification"]

voice_emotion = predict
