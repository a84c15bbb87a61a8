"""Bodies of a megabyte that are made to cost the server much: name -> path, content type, body. Each is to be refused."""

from __future__ import annotations

import json

CLASSIFY, INVOKE, JSON, CSV = "/v1/classify", "/invocations", "application/json", "text/csv"


def _keys(count: int) -> bytes:
    return b"{" + b",".join(b'"%d":1' % i for i in range(count)) + b"}"


BODIES: dict[str, tuple[str, str, bytes]] = {
    "rows of CSV": (INVOKE, CSV, b"text\n" + b"a\n" * 500_000),
    "short rows below a wide header": (INVOKE, CSV, b"text" + b"".join(b",%x" % i for i in range(100_000)) + b"\n" + b"a\n" * 200_000),
    "51 KB of it": (INVOKE, CSV, b"text" + b"".join(b",%x" % i for i in range(8_000)) + b"\n" + b"a\n" * 6_000),
    "wide rows": (INVOKE, CSV, b"\n".join([b",".join([b"text", *(b"%d" % i for i in range(900))]), *[b"x" + b"," * 900] * 1_000])),
    "wide header": (INVOKE, CSV, b"text," + b"a," * 300_000 + b"\n" + b"b," * 100_000),
    "equal names in a header": (INVOKE, CSV, b"text" + b",a" * 400_000),
    "blank lines": (INVOKE, CSV, b"text\n" + b"\n" * 1_000_000),
    "blank lines between": (INVOKE, CSV, b"text\n" + b"\n" * 1_000_000 + b"a\n"),
    "a quotation mark that is not closed": (INVOKE, CSV, b'text\n"' + b"a,b\n" * 250_000),
    "quotation marks": (INVOKE, CSV, b"text\n" + b'"' * 1_000_001),
    "texts": (CLASSIFY, JSON, json.dumps({"inputs": ["a"] * 200_000}).encode()),
    "numbers": (INVOKE, JSON, b'{"instances":[' + b"1," * 500_000 + b"1]}"),
    "long numbers": (INVOKE, JSON, b'{"instances":[' + (b"9" * 4200 + b",") * 240 + b"1]}"),
    "one number": (INVOKE, JSON, b'{"instances":[' + b"9" * 1_000_000 + b"]}"),
    "a fraction": (CLASSIFY, JSON, b'{"inputs":"a","options":{"x":0.' + b"9" * 1_000_000 + b"}}"),
    "records": (INVOKE, JSON, b'{"dataframe_records":[' + b'{"text":1},' * 94_000 + b'{"text":1}]}'),
    "empty records": (INVOKE, JSON, b'{"instances":[' + b"{}," * 340_000 + b"{}]}"),
    "unknown names": (INVOKE, JSON, _keys(95_000)),
    "unknown names of /v1": (CLASSIFY, JSON, _keys(95_000)),
    "fewer unknown names": (CLASSIFY, JSON, _keys(24_000)),
    "names of options": (CLASSIFY, JSON, b'{"inputs":"a","options":' + _keys(90_000) + b"}"),
    "fewer names of options": (CLASSIFY, JSON, b'{"inputs":"a","options":' + _keys(24_000) + b"}"),
    "a long option": (CLASSIFY, JSON, b'{"inputs":"a","options":{"x":"' + b"a" * 1_000_000 + b'"}}'),
    "a long name": (CLASSIFY, JSON, b'{"inputs":"a","' + b"a" * 1_000_000 + b'":1}'),
    "columns": (INVOKE, JSON, b'{"dataframe_split":{"columns":[' + b"1," * 490_000 + b'"text"],"data":[]}}'),
    "lists": (CLASSIFY, JSON, b'{"inputs":[' + b"[]," * 330_000 + b"[]]}"),
    "fewer lists": (CLASSIFY, JSON, b'{"inputs":[' + b"[]," * 24_000 + b"[]]}"),
    "lists in lists": (CLASSIFY, JSON, b'{"inputs":[' + (b"[" * 300 + b"]" * 300 + b",") * 1_700 + b"[]]}"),
    "lists in lists as rows": (INVOKE, JSON, b'{"dataframe_split":{"columns":["text"],"data":[' + b"[[]]," * 12_000 + b"[]]}}"),
    "a tower of lists": (CLASSIFY, JSON, b"[" * 1_000_000),
    "a tower of objects": (CLASSIFY, JSON, b'{"a":' * 200_000),
    "escapes": (CLASSIFY, JSON, b'{"inputs":"' + b"\\n" * 500_000 + b'"}'),
    "escaped half characters": (CLASSIFY, JSON, b'{"inputs":"' + b"\\ud800" * 170_000 + b'"}'),
    "escaped quotation marks": (CLASSIFY, JSON, b'{"inputs":["' + b'\\"' * 500_000 + b'"]}'),
    "commas in a text": (CLASSIFY, JSON, b'{"inputs":"' + b"," * 1_000_000 + b'"}'),
    "blanks": (CLASSIFY, JSON, b" " * 1_000_000 + b"x"),
    "one name again and again": (CLASSIFY, JSON, b"{" + b'"inputs":"a",' * 20_000 + b'"inputs":"b"}'),
    "no UTF-8 at its end": (CLASSIFY, JSON, b'{"inputs":"' + b"a" * 1_000_000 + b"\xff"),
}  # fmt: skip
