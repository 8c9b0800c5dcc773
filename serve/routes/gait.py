"""POST /v1/gait, and POST /predict as deployments before it had it: how a person walks."""

from serve.routes.predict import FORMS, predict

FORM = FORMS["video-classification"]

gait = predict
