"""Colour spaces of images: `icc` and `cicp` read them, `srgb` converts pixels to sRGB.

All models and all viewers of our pictures expect sRGB. Phones store Display P3 and cameras Adobe
RGB: without the conversion, their colours would be paler to the model than to the photographer.
"""
