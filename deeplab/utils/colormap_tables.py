"""Published colours of labelled data sets, one six-digit RRGGBB word a label, in label order.

Data only: `deeplab.utils.get_dataset_colormap` turns these into arrays.
"""

# Train ids 0..18; every other label is drawn black.
CITYSCAPES = """
    804080 f423e8 464646 66669c be9999 999999 faaa1e dcdc00 6b8e23 98fb98 4682b4 dc143c
    ff0000 00008e 000046 003c64 005064 0000e6 770b20
"""

# 0 is "other", 1..150 are the classes of the scene parsing benchmark.
ADE20K = """
    000000 787878 b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff e6e6e6 04fa07 e005ff
    ebff07 96053d 787846 08ff33 ff0652 8fff8c ccff04 ff3307 cc4603 0066c8 3de6fa ff0633
    0b66ff ff0747 ff09e0 0907e6 dcdcdc ff095c 7009ff 08ffd6 07ffe0 ffb806 0aff47 ff290a
    07ffff e0ff08 6608ff ff3d06 ffc207 ff7a08 00ff14 ff0829 ff0599 0633ff eb0cff a09614
    00a3ff 8c8c8c fa0a0f 14ff00 1fff00 ff1f00 ffe000 99ff00 0000ff ff4700 00ebff 00adff
    1f00ff 0bc8c8 ff5200 00fff5 003dff 00ff70 00ff85 ff0000 ffa300 ff6600 c2ff00 008fff
    33ff00 0052ff 00ff29 00ffad 0a00ff adff00 00ff99 ff5c00 ff00ff ff00f5 ff0066 ffad00
    ff0014 ffb8b8 001fff 00ff3d 0047ff ff00cc 00ffc2 00ff52 000aff 0070ff 3300ff 00c2ff
    007aff 00ffa3 ff9900 00ff0a ff7000 8fff00 5200ff a3ff00 ffeb00 08b8aa 8500ff 00ff5c
    b800ff ff001f 00b8ff 00d6ff ff0070 5cff00 00e0ff 70e0ff 46b8a0 a300ff 9900ff 47ff00
    ff00a3 ffcc00 ff008f 00ffeb 85ff00 ff00eb f500ff ff007a fff500 0abed4 d6ff00 00ccff
    1400ff ffff00 0099ff 0029ff 00ffcc 2900ff 29ff00 ad00ff 00f5ff 4700ff 7a00ff 00ffb8
    005cff b8ff00 0085ff ffd600 19c2c2 66ff00 5c00ff
"""

# 63 classes with a colour and three black ones (void) around them.
MAPILLARY_VISTAS = """
    a52a2a 00c000 c4c4c4 be9999 b4a5b4 66669c 66669c 8040ff 8c8cc8 aaaaaa faaaa0 606060
    e6968c 804080 6e6e6e f423e8 966464 464646 96785a dc143c ff0000 ff0000 ff0000 c88080
    ffffff 40aa40 804040 4682b4 ffffff 98fb98 6b8e23 00aa1e ffff80 fa001e 000000 dcdcdc
    aaaaaa de2828 64aa1e 282828 212121 aaaaaa 00008e aaaaaa d2aa64 999999 808080 00008e
    faaa1e c0c0c0 dcdc00 b4a5b4 770b20 00008e 003c64 00008e 00005a 0000e6 005064 804040
    00006e 000046 0000c0 202020 000000 000000
"""

# The 11 classes of the SegNet split; 11 is void.
CAMVID = """
    808080 800000 c0c080 804080 3c28de 808000 c08080 404080 400080 404000 0080c0 000000
"""

# background, other, garment, skin, hair, arms, shoe, sleeves, pants.
FORMA = """
    000000 808080 e6194b ffc8a0 784614 f58231 4363d8 ff7ad1 3cb44b
"""
