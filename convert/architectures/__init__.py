"""Networks with the state_dict keys of published checkpoints. Each file names its upstream.

| file | network | key layout it follows |
|---|---|---|
| bert.py | BERT encoder of sentence embedders | Hugging Face `BertModel` |
| efficientnet.py | EfficientNet-B0 to B4 | torchvision `efficientnet_b*`; efficientnet_keys.py renames timm's and EfficientNet-PyTorch's |
| gait_student.py | gait student | our own |
| iresnet.py | IResNet-18, 34, 50, 100 | insightface `arcface_torch/backbones/iresnet.py` |
| mobilefacenet.py | MobileFaceNet with ReLU6 | foamliu/MobileFaceNet `mobilefacenet.py` |
| mobilefacenet.py | MobileFaceNet with PReLU | TreB1eN/InsightFace_Pytorch `model.py` |
| mobilenetv2.py | MobileNetV2 (width 1.0) | torchvision `mobilenet_v2` |
| resnet.py | ResNet-50 (stride in the 3 x 3) | torchvision `resnet50` |
| u2net.py | U2NETP, U2NET | xuebinqin/U-2-Net `model/u2net.py` |
| xception.py | mini- and big XCEPTION | Keras; oarriaga/face_classification `src/models/cnn.py` |
| yolo11.py, yolo11_plan.py | YOLO11 n to x, and other widths | ultralytics 8 `cfg/models/11/yolo11.yaml` |
| yolo_layers.py | layers of YOLOv8 and YOLO11 | ultralytics 8 |
| yolov8.py, yolov8_plan.py | YOLOv8 n to x, and other widths | ultralytics 8 `cfg/models/v8/yolov8.yaml` |
| yunet.py | YuNet, size n | ShiqiYu/libfacedetection.train `configs/yunet_n.py` |
"""  # noqa: E501 - a row of a table is one line
