import Foundation
import TensorCore
import TestSupport
import Testing

/// What the engine computes from the inputs of `Tests/Fixtures/TensorCore/operations.json`, by
/// name.
enum OperationTable {
  typealias Body = @Sendable ([Tensor]) throws -> Tensor

  static let arithmetic: [String: Body] = [
    "add": { try $0[0].add($0[1]) },
    "add row": { try $0[0].add($0[1]) },
    "add both repeat": { try $0[0].add($0[1]) },
    "add number": { try $0[0].add(2.5) },
    "sub": { try $0[0].sub($0[1]) },
    "sub from number": { try $0[0].binary(.sub, 2, reversed: true) },
    "mul": { try $0[0].mul($0[1]) },
    "mul scalar tensor": { try $0[0].mul($0[1]) },
    "div": { try $0[0].div($0[1]) },
    "div of number": { try $0[0].binary(.div, 3, reversed: true) },
    "pow": { try $0[0].binary(.pow, $0[1]) },
    "pow number": { try $0[0].binary(.pow, 3) },
    "pow of number": { try $0[0].binary(.pow, 2, reversed: true) },
    "maximum": { try $0[0].binary(.maximum, $0[1]) },
    "minimum": { try $0[0].binary(.minimum, $0[1]) },
    "maximum number": { try $0[0].binary(.maximum, 0) },
    "eq": { try $0[0].binary(.eq, $0[1]) },
    "ne": { try $0[0].binary(.ne, $0[1]) },
    "lt": { try $0[0].binary(.lt, $0[1]) },
    "le": { try $0[0].binary(.le, $0[1]) },
    "gt": { try $0[0].binary(.gt, $0[1]) },
    "ge": { try $0[0].binary(.ge, $0[1]) },
    "where": { try Tensor.where($0[0], $0[1], $0[2]) },
    "where repeated": { try Tensor.where($0[0], $0[1], $0[2]) },
    "masked_fill": { try $0[0].maskedFill($0[1], -7) },
    "clamp": { try $0[0].clamp(-0.3, 0.31) },
    "clamp below": { try $0[0].clamp(-0.1) },
    "to": { try $0[0].to(.float64) },
  ]

  static let shapes: [String: Body] = [
    "reshape": { try $0[0].reshape([4, -1]) },
    "flatten": { try $0[0].flatten(1) },
    "unsqueeze": { try $0[0].unsqueeze(1) },
    "squeeze": { try $0[0].squeeze(-2) },
    "squeeze all": { try $0[0].squeeze() },
    "transpose": { try $0[0].transpose(0, -1) },
    "permute": { try $0[0].permute([2, 0, -2]) },
    "expand": { try $0[0].broadcast(to: [5, 2, 4, -1]) },
    "slice": { try $0[0].slice(1, 1) },
    "slice step": { try $0[0].slice(-1, 0, 4, step: 3) },
    "slice negative": { try $0[0].slice(1, -2, -1) },
    "slice beyond": { try $0[0].slice(2, 2, 9) },
    "select": { try $0[0].select(1, 2) },
    "select negative": { try $0[0].select(-1, -1) },
    "index_select": { try $0[0].indexSelect(1, $0[1]) },
    "index_select last": { try $0[0].indexSelect(-1, $0[1]) },
    "gather": { try $0[0].gather(1, $0[1]) },
    "gather last": { try $0[0].gather(2, $0[1]) },
    "cat": { try Tensor.cat($0, 1) },
    "stack": { try Tensor.stack($0, 1) },
    "split": { try $0[0].split(sizes: [1, 3], -1)[1] },
    "chunk": { try $0[0].chunk(2, 1)[1] },
    "tril": { try $0[0].tril() },
    "triu": { try $0[0].triu(1) },
    "tril low": { try $0[0].tril(-2) },
    "one_hot": { try $0[0].oneHot(4, .float64) },
  ]

  static let products: [String: Body] = [
    "matmul": { try $0[0].matmul($0[1]) },
    "matmul vector": { try $0[0].matmul($0[1]) },
    "matmul row": { try $0[0].matmul($0[1]) },
    "matmul dot": { try $0[0].matmul($0[1]) },
    "matmul batches": { try $0[0].matmul($0[1]) },
    "matmul batch and matrix": { try $0[0].matmul($0[1]) },
    "matmul matrix and batch": { try $0[0].matmul($0[1]) },
    "matmul batch and vector": { try $0[0].matmul($0[1]) },
    "matmul vector and batch": { try $0[0].matmul($0[1]) },
  ]

  static let reductions: [String: Body] = [
    "sum": { try $0[0].sum() },
    "sum axis": { try $0[0].sum([1]) },
    "sum axes kept": { try $0[0].sum([-1, 0], keepdim: true) },
    "mean": { try $0[0].mean() },
    "mean axis": { try $0[0].mean([-1]) },
    "max": { try $0[0].reduceMax().values },
    "max axis": { try $0[0].reduceMax([1]).values },
    "max axes kept": { try $0[0].reduceMax([0, 2], keepdim: true).values },
    "min axis": { try $0[0].reduceMin([0]).values },
    "argmax": { try $0[0].argmax(1) },
    "argmin": { try $0[0].argmin() },
    "var": { try $0[0].variance() },
    "var axis": { try $0[0].variance([1], unbiased: false) },
    "std axes": { try $0[0].std([0, 2], keepdim: true) },
    "norm": { try $0[0].norm() },
    "norm axis": { try $0[0].norm(2, [1]) },
    "norm 1": { try $0[0].norm(1, [2]) },
    "norm 3": { try $0[0].norm(3, [0], keepdim: true) },
    "norm half": { try $0[0].norm(0.5, [0]) },
    "norm infinity": { try $0[0].norm(.infinity, [1, 2]) },
    "norm 0": { try $0[0].norm(0, [1]) },
    "logsumexp": { try $0[0].logSumExp([1]) },
    "logsumexp large": { try $0[0].logSumExp() },
    "cumsum": { try $0[0].cumsum(1) },
    "softmax": { try $0[0].softmax() },
    "softmax axis": { try $0[0].softmax(1) },
    "log_softmax axis": { try $0[0].logSoftmax(0) },
  ]

  static let decompositions: [String: Body] = {
    var rows: [String: Body] = [
      "svd values": { try $0[0].svd().s },
      "svd values wide": { try $0[0].svd().s },
      "qr q": { try $0[0].qr().q },
      "qr r": { try $0[0].qr().r },
      "qr square": { inputs in
        let (q, r) = try inputs[0].qr()
        return try q.matmul(r)
      },
      "solve": { try $0[0].solve($0[1]) },
      "inverse": { try $0[0].inverse() },
      // Changed on one side of the diagonal alone, a matrix would no longer be symmetric.
      "cholesky": { try $0[0].add($0[0].transpose(0, 1)).mul(0.5).cholesky() },
    ]
    for name in ["tall", "wide", "square"] {
      // Signs are the library's choice.
      rows["svd u " + name] = { try $0[0].svd().u.unary(.abs) }
      rows["svd vh " + name] = { try $0[0].svd().vh.unary(.abs) }
      rows["svd product " + name] = { inputs in
        let (u, s, vh) = try inputs[0].svd()
        return try u.mul(s).matmul(vh)
      }
    }
    return rows
  }()

  static let all = [arithmetic, shapes, products, reductions, decompositions].reduce(into: [:]) {
    $0.merge($1) { first, _ in first }
  }

  struct Row: CustomTestStringConvertible, Sendable {
    let name: String
    let inputs: [Values]
    let expected: Values
    let body: Body
    var testDescription: String { name }

    /// The inputs; those of float64 require gradients.
    func leaves() throws -> [Tensor] {
      try inputs.map { try $0.tensor().requiresGrad($0.type == "float64") }
    }

    /// Comparisons, positions and the like have no gradient.
    var hasGradient: Bool {
      expected.type == "float64" && inputs.contains { $0.type == "float64" }
        && !["eq", "ne", "lt", "le", "gt", "ge", "norm 0"].contains(name)
    }
  }

  struct Values: Codable, Sendable {
    let shape: [Int]
    let type: String
    let values: [Double]

    func tensor() throws -> Tensor {
      try Tensor(values, shape).to(type == "int32" ? .int32 : .float64)
    }
  }

  private struct Fixture: Codable {
    let name: String
    let inputs: [Values]
    let expected: Values
  }

  private static let fixtures: [Fixture] = {
    let path = packageRoot + "/Tests/Fixtures/TensorCore/operations.json"
    guard let data = FileManager.default.contents(atPath: path) else { return [] }
    return (try? JSONDecoder().decode([Fixture].self, from: data)) ?? []
  }()

  static let names = Set(fixtures.map(\.name))
  static let rows: [Row] = fixtures.compactMap { fixture in
    all[fixture.name].map {
      Row(name: fixture.name, inputs: fixture.inputs, expected: fixture.expected, body: $0)
    }
  }
}
