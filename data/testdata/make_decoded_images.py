"""Writes decoded_images.inc: small PNG and JPEG files of every kind, and their pixels by Pillow.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install pillow numpy opencv-python-headless
    /tmp/v/bin/python make_decoded_images.py > decoded_images.inc

Where Pillow has no 8-bit grey or RGB, the pixels are: of 16-bit grey its values shifted right by 8;
of images with alpha the paste on white. Written with Pillow 13.0.0. OpenCV's pixels are compared,
and the kinds of which they differ are printed to stderr.
"""
import io
import struct
import sys
import zlib

import cv2
import numpy as np
from PIL import Image

WIDTH, HEIGHT = 5, 4
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}


def chunk(kind, data):
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def pack_rows(samples, bits):
    """The rows of samples [h, w * channels] with the filter byte 0 before each."""
    out = b""
    for row in samples:
        if bits == 16:
            data = row.astype(">u2").tobytes()
        else:
            text = "".join(format(int(v), "0%db" % bits) for v in row)
            text += "0" * (-len(text) % 8)
            data = bytes(int(text[i:i + 8], 2) for i in range(0, len(text), 8))
        out += b"\0" + data
    return out


def png(color, bits, samples, extra=b"", interlaced=False):
    """samples: [HEIGHT, WIDTH, channels]."""
    if interlaced:
        body = b""
        for x0, y0, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4),
                               (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
            part = samples[y0::dy, x0::dx]
            if part.size:
                body += pack_rows(part.reshape(part.shape[0], -1), bits)
    else:
        body = pack_rows(samples.reshape(HEIGHT, -1), bits)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, color, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra +
            chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b""))


def samples(rng, color, bits):
    return rng.integers(0, 2**bits, (HEIGHT, WIDTH, CHANNELS[color]))


def jpeg(mode, **options):
    out = io.BytesIO()
    channels = {"L": 1, "RGB": 3, "CMYK": 4}[mode]
    y, x = np.mgrid[0:16, 0:16]
    pixels = np.stack([40 + 7 * x + 5 * y + 11 * c for c in range(channels)], -1).astype(np.uint8)
    Image.fromarray(pixels.squeeze(), mode).save(out, "JPEG", quality=90, **options)
    return out.getvalue()


def files():
    rng = np.random.default_rng(1)
    for bits in (1, 2, 4, 8, 16):
        yield "grey %d bits" % bits, png(GREY, bits, samples(rng, GREY, bits))
    for bits in (8, 16):
        yield "RGB %d bits" % bits, png(RGB, bits, samples(rng, RGB, bits))
        yield "grey and alpha %d bits" % bits, png(GREY_ALPHA, bits, samples(rng, GREY_ALPHA, bits))
        yield "RGBA %d bits" % bits, png(RGBA, bits, samples(rng, RGBA, bits))
    for bits in (1, 2, 4, 8):
        palette = chunk(b"PLTE", rng.integers(0, 256, 3 * 2**bits).astype(np.uint8).tobytes())
        alpha = chunk(b"tRNS", rng.integers(0, 256, 2**bits).astype(np.uint8).tobytes())
        indices = samples(rng, PALETTE, bits)
        yield "palette %d bits" % bits, png(PALETTE, bits, indices, palette)
        yield "palette %d bits and tRNS" % bits, png(PALETTE, bits, indices, palette + alpha)
    grey = samples(rng, GREY, 8)
    clear = chunk(b"tRNS", struct.pack(">H", grey[1, 2, 0]))
    yield "grey 8 bits and tRNS", png(GREY, 8, grey, clear)
    rgb = samples(rng, RGB, 8)
    clear = chunk(b"tRNS", struct.pack(">HHH", *rgb[1, 2]))
    yield "RGB 8 bits and tRNS", png(RGB, 8, rgb, clear)
    yield "RGB 8 bits interlaced", png(RGB, 8, rgb, interlaced=True)
    yield "RGB 16 bits interlaced", png(RGB, 16, samples(rng, RGB, 16), interlaced=True)
    for bits in (8, 16):
        for name, color in (("grey", GREY), ("RGB", RGB)):
            pixels = samples(rng, color, bits)
            for gamma in (100000, 45455, 22222):
                yield ("%s %d bits, gAMA %d" % (name, bits, gamma),
                       png(color, bits, pixels, chunk(b"gAMA", struct.pack(">I", gamma))))
            yield "%s %d bits, sRGB" % (name, bits), png(color, bits, pixels, chunk(b"sRGB", b"\0"))
    yield "JPEG grey", jpeg("L")
    yield "JPEG RGB", jpeg("RGB")
    yield "JPEG RGB progressive", jpeg("RGB", progressive=True)
    yield "JPEG RGB 4:4:4", jpeg("RGB", subsampling=0)
    yield "JPEG CMYK", jpeg("CMYK")
    exif = Image.Exif()
    exif[0x0112] = 6  # Turned by 90 degrees.
    yield "JPEG RGB, EXIF orientation 6", jpeg("RGB", exif=exif)


def decoded(name, data):
    image = Image.open(io.BytesIO(data))
    image.load()
    grey = "grey" in name  # Pillow reads 16-bit grey and alpha as RGBA.
    if image.mode.startswith("I"):
        return (np.array(image).astype(np.int64) >> 8).astype(np.uint8)[..., None]
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        image = white
    image = image.convert("L" if grey and image.mode != "RGB" else "RGB")
    pixels = np.array(image)
    if grey:
        return (pixels if pixels.ndim == 2 else pixels[..., 0])[..., None]
    return pixels


def hexadecimal(data):
    text = data.hex()
    lines = [text[i:i + 92] for i in range(0, len(text), 92)]
    return "\n".join('     "%s"' % line for line in lines)


print("// Written by make_decoded_images.py: name, file, width, height, channels, pixels.")
for name, data in files():
    pixels = decoded(name, data)
    cv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    if cv.shape[:2] != pixels.shape[:2] or not (cv == pixels).all():
        far = cv.shape[:2] != pixels.shape[:2] or np.abs(cv.astype(int) - pixels).max()
        print("OpenCV differs: %s (by %s)" % (name, far), file=sys.stderr)
    height, width, channels = pixels.shape
    print('    {"%s",\n%s,\n     %d,\n     %d,\n     %d,\n%s},' %
          (name, hexadecimal(data), width, height, channels, hexadecimal(pixels.tobytes())))
