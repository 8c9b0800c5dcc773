"""Networks whose state_dict keys match the checkpoints people have. Each file names its upstream.

| file | network | key layout it follows |
|---|---|---|
| mobilenetv2.py | MobileNetV2 (width 1.0) | torchvision `mobilenet_v2` |
| u2net.py | U2NETP, U2NET | xuebinqin/U-2-Net `model/u2net.py` |
| xception.py | mini- and big XCEPTION | Keras; oarriaga/face_classification `src/models/cnn.py` |
| yunet.py | YuNet, size n | ShiqiYu/libfacedetection.train `configs/yunet_n.py` |
"""
