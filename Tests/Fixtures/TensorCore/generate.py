"""Writes operations.json: inputs of every general operation, and NumPy's results.

Run with `python3 generate.py` in this folder (NumPy 2.4.6 wrote the committed file). The same names stand in
OperationTable.swift, which says what the engine computes from the inputs.
"""
import json
import numpy as np

rng = np.random.default_rng(7)
cases = []


def array(value):
    value = np.asarray(value)
    kind = "int32" if value.dtype.kind in "ib" else "float64"
    return {"shape": list(value.shape), "type": kind, "values": [v.item() for v in value.reshape(-1)]}


def case(name, inputs, expected):
    cases.append({"name": name, "inputs": [array(i) for i in inputs], "expected": array(expected)})


def normal(*shape):
    return np.round(rng.standard_normal(shape), 3)


def positive(*shape):
    return np.round(rng.uniform(0.4, 2.5, shape), 3)


def spread(*shape):
    """Distinct values, so that neither ties nor kinks are near."""
    n = int(np.prod(shape))
    return ((rng.permutation(n) - n / 2 + 0.37) * 0.1).reshape(shape)


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


a, b, row, column = normal(2, 3), normal(2, 3), normal(3), normal(2, 1)
case("add", [a, b], a + b)
case("add row", [a, row], a + row)
c, d = normal(2, 1, 3), normal(4, 1)
case("add both repeat", [c, d], c + d)
case("add number", [a], a + 2.5)
case("sub", [a, column], a - column)
case("sub from number", [a], 2 - a)
case("mul", [c, d], c * d)
case("mul scalar tensor", [a, np.array(1.7)], a * 1.7)
p = positive(4, 1)
case("div", [c, p], c / p)
case("div of number", [p], 3 / p)
q = positive(2, 1, 3)
case("pow", [q, d], q**d)
case("pow number", [a], a**3)
case("pow of number", [a], 2.0**a)
s, t = spread(3, 4), spread(3, 4) + 0.05
case("maximum", [s, t], np.maximum(s, t))
case("minimum", [s, t[0]], np.minimum(s, t[0]))
case("maximum number", [s], np.maximum(s, 0))
for name, f in [("eq", np.equal), ("ne", np.not_equal), ("lt", np.less), ("le", np.less_equal),
                ("gt", np.greater), ("ge", np.greater_equal)]:
    x, y = np.array([[1.0, 2, 3], [4, 5, 6]]), np.array([3.0, 2, 1])
    case(name, [x, y], f(x, y).astype(float))
mask = np.array([[1, 0, 0], [0, 1, 1]], dtype=np.int32)
case("where", [mask, a, row], np.where(mask, a, row))
case("where repeated", [mask[:, :1], row, column], np.where(mask[:, :1], row, column))
case("masked_fill", [a, mask[0]], np.where(mask[0], -7.0, a))
case("clamp", [s], np.clip(s, -0.3, 0.31))
case("clamp below", [s], np.maximum(s, -0.1))

x = normal(2, 3, 4)
case("reshape", [x], x.reshape(4, 6))
case("flatten", [x], x.reshape(2, 12))
case("unsqueeze", [a], a[:, None])
case("squeeze", [c], c[:, 0])
case("squeeze all", [c], c[:, 0])
case("transpose", [x], x.swapaxes(0, 2))
case("permute", [x], x.transpose(2, 0, 1))
case("expand", [c], np.broadcast_to(c, (5, 2, 4, 3)))

m, n, v, w = normal(3, 4), normal(4, 2), normal(4), normal(3)
case("matmul", [m, n], m @ n)
case("matmul vector", [m, v], m @ v)
case("matmul row", [w, m], w @ m)
case("matmul dot", [v, n[:, 0]], v @ n[:, 0])
batch, other = normal(2, 1, 3, 4), normal(5, 4, 2)
case("matmul batches", [batch, other], batch @ other)
case("matmul batch and matrix", [x, n], x @ n)
case("matmul matrix and batch", [m, other], m @ other)
case("matmul batch and vector", [x, v], x @ v)
case("matmul vector and batch", [v, other], v @ other)

case("sum", [x], x.sum())
case("sum axis", [x], x.sum(1))
case("sum axes kept", [x], x.sum((0, 2), keepdims=True))
case("mean", [x], x.mean())
case("mean axis", [x], x.mean(-1))
y = spread(2, 3, 4)
case("max", [y], y.max())
case("max axis", [y], y.max(1))
case("max axes kept", [y], y.max((0, 2), keepdims=True))
case("min axis", [y], y.min(0))
case("argmax", [y], y.argmax(1).astype(np.int32))
case("argmin", [y], np.array(y.argmin(), dtype=np.int32))
case("var", [x], x.var(ddof=1))
case("var axis", [x], x.var(1))
case("std axes", [x], x.std((0, 2), ddof=1, keepdims=True))
case("norm", [x], np.sqrt((x**2).sum()))
case("norm axis", [x], np.sqrt((x**2).sum(1)))
case("norm 1", [x], np.abs(x).sum(2))
case("norm 3", [x], (np.abs(x) ** 3).sum(0, keepdims=True) ** (1 / 3))
case("norm half", [x], (np.abs(x) ** 0.5).sum(0) ** 2)
case("norm infinity", [y], np.abs(y).max((1, 2)))
case("norm 0", [mask * a], (mask * a != 0).sum(1).astype(float))
case("logsumexp", [x], np.log(np.exp(x).sum(1)))
case("logsumexp large", [x + 800], np.log(np.exp(x).sum()) + 800)
case("cumsum", [x], x.cumsum(1))
case("softmax", [x], softmax(x, -1))
case("softmax axis", [x], softmax(x, 1))
case("log_softmax axis", [x], np.log(softmax(x, 0)))

case("slice", [x], x[:, 1:])
case("slice step", [x], x[..., 0:4:3])
case("slice negative", [x], x[:, -2:-1])
case("slice beyond", [x], x[:, :, 2:9])
case("select", [x], x[:, 2])
case("select negative", [x], x[..., -1])
ids = np.array([2, 0, 2], dtype=np.int32)
case("index_select", [x, ids], x[:, ids])
case("index_select last", [x, ids], x[..., ids])
index = rng.integers(0, 3, (2, 5, 2)).astype(np.int32)
case("gather", [x, index], np.take_along_axis(x[:, :, :2], index, 1))
index2 = rng.integers(0, 4, (2, 3, 6)).astype(np.int32)
case("gather last", [x, index2], np.take_along_axis(x, index2, 2))
case("cat", [x, normal(2, 2, 4)], np.zeros(0))
cases[-1]["expected"] = array(np.concatenate([x, np.array(cases[-1]["inputs"][1]["values"]).reshape(2, 2, 4)], 1))
case("stack", [a, b], np.stack([a, b], 1))
case("split", [x], x[..., 1:4])
case("chunk", [x], x[:, 2:])
z = normal(2, 4, 3)
case("tril", [z], np.tril(z))
case("triu", [z], np.triu(z, 1))
case("tril low", [z], np.tril(z, -2))
case("one_hot", [ids], np.eye(4)[ids])
case("to", [a], a)

tall, wide, square = normal(5, 3), normal(3, 5), normal(4, 4)
case("svd values", [tall], np.linalg.svd(tall)[1])
case("svd values wide", [wide], np.linalg.svd(wide)[1])
for name, g in [("tall", tall), ("wide", wide), ("square", square)]:
    u, sv, vh = np.linalg.svd(g, full_matrices=False)
    case("svd u " + name, [g], np.abs(u))
    case("svd vh " + name, [g], np.abs(vh))
    case("svd product " + name, [g], g)
case("qr q", [tall], np.linalg.qr(tall)[0])
case("qr r", [tall], np.linalg.qr(tall)[1])
case("qr square", [square], square)
case("solve", [square, normal(4, 2)], np.zeros(0))
cases[-1]["expected"] = array(np.linalg.solve(square, np.array(cases[-1]["inputs"][1]["values"]).reshape(4, 2)))
case("inverse", [square], np.linalg.inv(square))
spd = square @ square.T + np.eye(4)
case("cholesky", [spd], np.linalg.cholesky(spd))

with open("operations.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
print(len(cases))
