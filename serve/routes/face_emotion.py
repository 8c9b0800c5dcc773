"""POST /v1/face-emotion: the emotion of a face."""

from serve.routes.predict import IMAGE, predict

FORM = IMAGE

face_emotion = predict
