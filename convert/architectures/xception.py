"""mini-XCEPTION and big XCEPTION face-emotion nets in Keras, for seeded weights.

A Keras file holds its own architecture, so only seeding and tests build these.

Source: Arriaga et al., https://arxiv.org/abs/1710.07557; layer plan of oarriaga/face_classification
`src/models/cnn.py` (`mini_XCEPTION`, `big_XCEPTION`).
"""

from typing import Any

MINI_WIDTHS = (16, 32, 64, 128)
BIG_WIDTHS = (128, 256)


def mini_xception(*, side: int, class_count: int) -> Any:
    """Build the net: grey (N, side, side, 1) to (N, class_count) probabilities; 58 k weights."""
    return _xception((8, 8), 1, MINI_WIDTHS, side, class_count)


def big_xception(*, side: int, class_count: int) -> Any:
    """Build `mini_xception` with wider blocks; 206 k weights."""
    return _xception((32, 64), 2, BIG_WIDTHS, side, class_count)


def _xception(
    stem: tuple[int, int], first_stride: int, widths: tuple[int, ...], side: int, class_count: int
) -> Any:
    from keras import Input, Model, layers

    image = Input((side, side, 1))
    x = image
    for channels, stride in zip(stem, (first_stride, 1), strict=True):
        x = layers.Conv2D(channels, 3, strides=stride, use_bias=False)(x)
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
    for channels in widths:
        x = _block(x, channels)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(class_count, 3, padding="same")(x))
    return Model(image, layers.Activation("softmax")(x))


def _block(x: Any, channels: int) -> Any:
    from keras import layers

    shortcut = layers.Conv2D(channels, 1, strides=2, padding="same", use_bias=False)(x)
    shortcut = layers.BatchNormalization()(shortcut)
    x = layers.SeparableConv2D(channels, 3, padding="same", use_bias=False)(x)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.SeparableConv2D(channels, 3, padding="same", use_bias=False)(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(layers.BatchNormalization()(x))
    return layers.add([x, shortcut])
