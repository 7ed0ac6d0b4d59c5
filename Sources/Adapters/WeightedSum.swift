import Diagnostics
import NN
import TensorCore

/// How several low-rank updates become one; PEFT's words.
public enum CombinationType: String, Sendable, CaseIterable, FieldChoice {
  /// Factors side by side: exact, the ranks add up.
  case cat
  /// The sum's largest singular values: the best of its rank.
  case svd
  /// Factors added, each times the square root of its weight and scale: PEFT's default, not the sum of the updates.
  case linear
}

extension AttachedAdapter {
  /// A LoRA whose update is the weighted sum of others' updates, `sum of w_i s_i B_i A_i`, attached to the same model. A layer
  /// that only some of them adapt gets theirs.
  ///
  /// - Parameters:
  ///   - terms: attached adapters whose updates are products of two factors, with their weights.
  ///   - r: the rank for `svd`; nil: the largest of the terms'.
  ///   - isTrainable: whether the sum trains on; else it is frozen, and so is everything else.
  /// - Throws: `EngineError` for methods without factors, for `linear` with different ranks or negative weights.
  public static func weightedSum(
    _ terms: [(adapter: AttachedAdapter, weight: Double)], _ combination: CombinationType, r: Int? = nil, name: String,
    isTrainable: Bool = false
  ) throws -> AttachedAdapter {
    guard let first = terms.first?.adapter else { throw EngineError(.argument, "weighted sum: no adapters given") }
    var layers: [String: (a: Tensor, b: Tensor)] = [:]
    var order: [String] = []
    for (path, module) in first.root.namedModules() {
      guard let linear = module as? Linear else { continue }
      let own = try terms.compactMap { try $0.adapter.term(of: linear, at: path, weight: $0.weight) }
      guard !own.isEmpty else { continue }
      layers[path] = try Autograd.noGrad { try combine(own, combination, r: r, at: path) }
      order.append(path)
    }
    let lora = try LoRA(layers: order.compactMap { path in layers[path].map { (path, $0.a.shape[0], 1) } })
    var targets = AdapterTargets()
    (targets.targetModules, targets.modulesToSave) = (.suffixes(order), [])
    let sum = try attach(
      lora, to: first.root, name: name, targets: targets, defaultTargets: [], head: first.head, adaptsHead: true, seed: 0)
    for (path, _, adapter) in sum.linearAdapters {
      guard let values = layers[path], let adapter = adapter as? LoRAAdapter else { continue }
      try adapter.a.assign(values.a)
      try adapter.b.assign(values.b)
      if !isTrainable { try adapter.setTrainable(false) }
    }
    return sum
  }

  /// The factors of one layer and the weight that their product counts with; nil: the adapter does not adapt the layer.
  private func term(of linear: Linear, at path: String, weight: Double) throws -> (a: Tensor, b: Tensor, weight: Double)? {
    guard sites.contains(path), let adapter = linear.adapter(named: name) else { return nil }
    guard let update = adapter as? any LowRankUpdate else {
      throw EngineError(
        .argument, "weighted sum: adapter '\(name)' is of method '\(method.name)', whose update has no two factors")
    }
    let (a, b) = try update.loraFactors()
    return (a.detach(), b.detach(), weight * update.scaling)
  }

  private static func combine(
    _ terms: [(a: Tensor, b: Tensor, weight: Double)], _ combination: CombinationType, r: Int?, at path: String
  ) throws -> (a: Tensor, b: Tensor) {
    switch combination {
    case .cat:
      return (try .cat(terms.map(\.a), 0), try .cat(terms.map { try $0.b.mul($0.weight) }, 1))
    case .linear:
      guard Set(terms.map { $0.a.shape[0] }).count == 1 else {
        throw EngineError(
          .argument, "weighted sum: layer '\(path)' has ranks \(terms.map { $0.a.shape[0] }): linear needs equal ones", hint: "use cat or svd")
      }
      guard terms.allSatisfy({ $0.weight >= 0 }) else {
        throw EngineError(.argument, "weighted sum: linear takes weights of at least 0", hint: "use cat or svd")
      }
      func sum(_ factors: [Tensor]) throws -> Tensor {
        let total = try Tensor.zeros(factors[0].shape)
        for (factor, term) in zip(factors, terms) { try total.addInPlace(factor, alpha: term.weight.squareRoot()) }
        return total
      }
      return (try sum(terms.map(\.a)), try sum(terms.map(\.b)))
    case .svd:
      let shape = [terms[0].b.shape[0], terms[0].a.shape[1]]
      let delta = try terms.reduce(try Tensor.zeros(shape)) { try $0.addingProduct($1.b, $1.a, scale: $1.weight) }
      let rank = min(r ?? terms.map { $0.a.shape[0] }.max() ?? 1, shape[0], shape[1])
      let (u, s, vh) = try delta.svd()
      return (try vh.slice(0, 0, rank), try u.slice(1, 0, rank).mul(s.slice(0, 0, rank)))
    }
  }
}
