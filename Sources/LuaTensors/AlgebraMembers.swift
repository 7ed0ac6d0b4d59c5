import Diagnostics
import LuaHost
import TensorCore

/// Products, layers, losses and decompositions.
func algebraMembers(_ random: RandomState) -> [Member<Tensor>] {
  products() + layers(random) + losses() + decompositions()
}

private func products() -> [Member<Tensor>] {
  [
    .method(
      "matmul",
      "The matrix product; axes in front are batches; a vector is a row left, a column right.",
      Param<Tensor>("other", "the right factor"), returns: "new tensor"
    ) { tensor, other in try tensor.matmul(other) },
    .method(
      "linear", "x W^T + b, for x of [..., in].", Param<Tensor>("weight", "[out, in]"),
      Param<Tensor?>("bias", "[out], or nil"),
      returns: "new tensor [..., out]"
    ) { tensor, weight, bias in try tensor.linear(weight, bias) },
  ]
}

private func layers(_ random: RandomState) -> [Member<Tensor>] {
  [
    .method(
      "layer_norm", "(x - mean) / sqrt(var + eps) * weight + bias over the last axis.",
      Param<Tensor?>("weight", "one factor for each column; nil: ones"),
      Param<Tensor?>("bias", "one term for each column; nil: zeros"),
      Param<Double>("eps", "added to the variance", default: 1e-5, in: 0...),
      returns: "new tensor of the same shape"
    ) { tensor, weight, bias, eps in
      try tensor.layerNorm(
        weight ?? Tensor.ones([tensor.columns], tensor.dtype),
        bias ?? Tensor.zeros([tensor.columns], tensor.dtype), eps: eps)
    },
    .method(
      "dropout", "Zeroes elements with probability p and divides the others by 1 - p.",
      Param<Double>("p", "probability", default: 0.5, in: 0...1),
      Param<DropoutOptions>("options", "see the fields"),
      returns: "new tensor of the same shape"
    ) { tensor, p, options in
      options.training
        ? try tensor.dropout(Dropout(p: p, source: random.source(options.seed))) : tensor
    },
  ]
}

private func losses() -> [Member<Tensor>] {
  [
    .method(
      "cross_entropy", "The mean of -log softmax(x)[label] over rows of logits [n, classes].",
      Param<Identifiers>(
        "labels", "n classes from 0: int32 tensor or list; rows with -100 do not count"),
      Param<CrossEntropyOptions>("options", "see the fields"), returns: "scalar tensor"
    ) { tensor, labels, options in
      let ids = try labels.tensor("cross_entropy")
      guard ids.rank == 1 else {
        throw EngineError(.shape, "cross_entropy: labels \(ids.shape), expected one axis")
      }
      return try tensor.crossEntropy(Array(ids.int32s), labelSmoothing: options.labelSmoothing)
    },
    .method(
      "mse_loss", "The mean of (x - target)^2.",
      Param<Tensor>("target", "of the same shape; no gradient flows into it"),
      returns: "scalar tensor"
    ) { tensor, target in
      guard tensor.shape == target.shape else {
        throw EngineError(
          .shape, "mse_loss: \(tensor.shape) against \(target.shape): expected the same shape")
      }
      return try tensor.mseLoss(target)
    },
  ]
}

private func decompositions() -> [Member<Tensor>] {
  [
    .method(
      "svd", "The reduced singular value decomposition of a matrix: x = U diag(S) Vh.",
      returns: "U, S (descending), Vh"
    ) {
      tensor in
      let (u, s, vh) = try tensor.svd()
      return TensorTriple((u, s, vh))
    },
    .method(
      "qr", "The reduced QR decomposition of a matrix.",
      returns: "Q with orthonormal columns, R upper triangular"
    ) { tensor in
      let (q, r) = try tensor.qr()
      return TensorPair(q, r)
    },
    .method(
      "solve", "X with self X = other.", Param<Tensor>("other", "matrix of as many rows"),
      returns: "new tensor"
    ) {
      tensor, other in try tensor.solve(other)
    },
    .method("inverse", "The inverse of a square matrix.", returns: "new tensor") { tensor in
      try tensor.inverse()
    },
    .method(
      "cholesky", "The lower triangular L with L L^T = x, for a positive definite matrix.",
      returns: "new tensor"
    ) {
      tensor in try tensor.cholesky()
    },
  ]
}
