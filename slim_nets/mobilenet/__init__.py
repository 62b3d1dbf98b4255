"""The MobileNet family: inverted residual networks described by lists of layer records.

mobilenet_v2 and mobilenet_v3 hold the networks; mobilenet builds any list of records; conv_blocks
has the building blocks, channels the rounding of channel counts, scopes the arg scope helpers.
"""
