#!/usr/bin/env python3
"""Writes han_compatibility.inc: the CJK compatibility ideographs and their canonical characters.

  python3 data/glyphs/make_han_compatibility.py > data/glyphs/han_compatibility.inc

One line for each code point of U+F900..FAFF and U+2F800..2FA1F whose NFKC form is one other
character, ascending: {code point, NFKC form}.
"""

import unicodedata

print("// Made by data/glyphs/make_han_compatibility.py from Unicode %s." %
      unicodedata.unidata_version)
for first, last in ((0xF900, 0xFAFF), (0x2F800, 0x2FA1F)):
    for code in range(first, last + 1):
        form = unicodedata.normalize("NFKC", chr(code))
        if len(form) == 1 and ord(form) != code:
            print("{0x%X, 0x%X}," % (code, ord(form)))
