import Diagnostics
import Files
import TensorCore

extension ProcessGroup {
  /// Throws in all processes where one of them computes other gradients than the first one for the same item: their sums would depend on who
  /// computed what. Machines can differ in what nothing tells of: a library's version, a unit that is broken, a script's function that
  /// looks at the machine. The parameters are left without gradients.
  ///
  /// - Parameter compute: computes the first item's loss and gradients, as it does for the update.
  func requireEqualGradients(of parameters: [(name: String, tensor: Tensor)], _ compute: () throws -> Double) throws {
    guard count > 1 else { return }
    defer { for (_, tensor) in parameters { tensor.grad = nil } }
    for (_, tensor) in parameters { tensor.grad = nil }
    let place = "the comparison of the first gradients"
    var digests: [JSONValue] = []
    func own() throws -> JSONValue {
      let loss = try compute()
      digests = parameters.map { name, tensor in
        let digest = tensor.grad.map { Digest(of: UnsafeRawBufferPointer(start: $0.pointer, count: $0.count * $0.dtype.size)).hex } ?? ""
        return .string(name + " " + digest)
      }
      return ["loss": .string("\(loss)"), "gradients": .string(Digest(of: .array(digests)).hex)]
    }
    let told = try all(place, try own())
    guard let other = told.firstIndex(where: { $0 != told[0] }) else { return }
    let details = try all(place, .array(digests)).map { $0.arrayValue ?? [] }
    let first = zip(details[0], details[other]).first { $0 != $1 }?.0.stringValue?.split(separator: " ").first ?? "none"
    func words(_ rank: Int) -> String { told[rank]["loss"]?.stringValue ?? "?" }
    throw EngineError(
      .argument,
      "\(name(other)) computes other gradients than \(name(0)) for the same examples: losses \(words(other)) and \(words(0)), first different gradient: "
        + first,
      hint: "the machines, their libraries or a script's function differ: take machines of one kind, or set PERIGEE_CPU=avx2, PERIGEE_PRODUCTS and "
        + "OPENBLAS_CORETYPE=Haswell for all")
  }
}
