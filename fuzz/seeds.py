"""Writes seeds for the fuzz targets into fuzz/corpus: small valid files.

    python3 fuzz/seeds.py
"""

import io
import pickle
import shutil
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent


def put(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def npy(array, version=None):
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asarray(array), version=version)
    return out.getvalue()


def lists(*arrays):
    found = np.empty(len(arrays), object)
    for at, array in enumerate(arrays):
        found[at] = np.asarray(array)
    return found


matrix = np.arange(9.0).reshape(3, 3)
arrays = {f"{kind}{order}": matrix.astype(order + kind) for kind in ("f4", "f8", "i2", "u8") for order in "<>"}
arrays |= {"fortran": np.asfortranarray(matrix), "bool": matrix > 3, "list": matrix[0], "u1": matrix.astype("u1")}
for name, array in arrays.items():
    put("npy", name, npy(array))
for version in ((1, 0), (2, 0), (3, 0)):
    put("npy", f"version{version[0]}", npy(matrix, version))

objects = {
    "positions": lists([1, 2, 3], [4, 5, 6]),
    "spikes": lists([0.5, 1.5], [], [1.5]),
    "big": lists(np.array([3, -200], ">i4")),
    "none": lists(),
}
for name, array in objects.items():
    for protocol in (2, 3, 4, 5):
        data = pickle.dumps(array, protocol)
        put("pickle", f"{name}{protocol}", bytes([len(array)]) + data)
        header = npy(array)
        put("npy", f"{name}{protocol}", header[: header.index(b"\n") + 1] + data)

tables = {
    "released": b",0,1,2\n0,0,1,2\n1,3,0,4\n2,5,6,0\n",
    "crlf": b",a,b\r\na, 0.0,1\r\nb,3e0,0",
    "quoted": b'"","0"\n"0","7"\n',
}
for name, table in tables.items():
    put("connectome", name, table)
for name, table in {
    "wide": b"simulation,W*D*C,W\n0,0.5,1\n1,,diverged\n",
    "semicolons": b"a;b\n1;2\n",
    "bom": b"\xef\xbb\xbfa\tb\n1e3\tNaN\n",
}.items():
    put("table", name, table)


def folder(*files):
    return b"".join(len(file).to_bytes(2, "little") + file for file in files)


positions, ids = npy(lists([1, 2, 3], [4, 5, 6], [7, 8, 9])), npy(np.array([3, 8, 1]))
spikes = npy(lists([0.5, 1.5], [], [1.5]))
lower = npy(np.eye(3))
field_toml = b'name = "a"\nposition_unit_um = [1, 1, 2.5]\nconnectome_order = "neurons"\nnotes = ["x"]\n'
put("field", "whole", folder(positions, ids, lower, spikes, tables["released"], field_toml))
put("field", "released", folder(positions, ids, lower, spikes, tables["released"], b""))
put("field", "plain", folder(npy(matrix), b"", b"", npy(matrix), b"", b""))

described = b'''frame_hz = 5
[positions]
file = "a.csv"
unit = "um"
[ids]
c = { file = "a.csv", column = "c" }
[matrices]
sttc = { file = "c.npz", array = "s" }
'''
packed = io.BytesIO()
np.savez_compressed(packed, s=np.eye(2), times=np.array([1.0, 2.0]), neurons=np.array([7, 9]), t=matrix)
cells = b"x,y,z,c\n1,2,3,7\n4,5,6,9\n"
lists_of = {
    "edges": (b'[connectome]\nfile = "b.csv"\nlayout = "edges"\npre = "f"\npost = "t"\n', b"f,t\n7,9\n9,9\n8,7\n"),
    "matrix": (b'[connectome]\nfile = "b.csv"\nlayout = "matrix"\n', b",9,7\n7,0,1\n9,2,0\n"),
    "times": (b'[events]\nfile = "b.csv"\nunit = "ms"\ntimes = "t"\nneurons = "c"\n', b"t,c\n5,9\n1,7\n"),
    "arrays": (b'[events]\nfile = "c.npz"\nunit = "frame"\n', b""),
    "parquet": (b'[connectome]\nfile = "d.parquet"\nlayout = "edges"\npre = "from"\npost = "to"\n', b""),
}
connections = (HERE.parent / "libs/fields/fixtures/edges-snappy.parquet").read_bytes()
for name, (more, rows) in lists_of.items():
    put("described", name, folder(described + more, cells, rows, packed.getvalue(), connections))
traces = b'frame_hz = 5\n[traces]\nfile = "c.npz"\narray = "t"\nlayout = "frames-by-neurons"\ndetector = "rises"\n'
put("described", "traces", folder(traces, b"", b"", packed.getvalue(), b""))
units = b"session,scan_idx,field,unit_id,pt_root_id,pt_position\n4,7,2,1,7,[1 2 3]\n4,7,2,2,9,[4 5 6]\n"
put("described", "tables", folder(b"", units, b"pre_pt_root_id,post_pt_root_id\n7,9\n9,7\n", b"", b""))

(HERE / "corpus" / "nwb").mkdir(parents=True, exist_ok=True)
shutil.copy(HERE.parent / "plugins/nwb/fixtures/three_fields.nwb", HERE / "corpus/nwb")
