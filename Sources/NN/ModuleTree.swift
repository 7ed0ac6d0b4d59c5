import TensorCore

extension Module {
  /// The tree of modules as text: a line for each, with its shapes and its adapters; equal neighbours, as the layers of a stack,
  /// are one line with their number.
  public func tree() -> String { lines(named: "", type(of: self)).joined(separator: "\n") }

  private func lines(named name: String, _ type: Module.Type) -> [String] {
    let title = (name.isEmpty ? "" : name + ": ") + "\(type)" + facts
    return [title] + merged().flatMap { names, lines in
      [lines[0].isEmpty ? names : names + ": " + lines[0]] + lines.dropFirst()
    }.map { "  " + $0 }
  }

  /// The parts' lines without their names; runs of equal ones once, named "0-11".
  private func merged() -> [(names: String, lines: [String])] {
    var result: [(first: String, last: String, lines: [String])] = []
    for (name, module) in children {
      let lines = module.lines(named: "", Swift.type(of: module))
      if let last = result.last, Int(last.last).map({ String($0 + 1) }) == name, last.lines == lines {
        result[result.count - 1].last = name
      } else {
        result.append((name, name, lines))
      }
    }
    return result.map { ($0.first == $0.last ? $0.first : "\($0.first)-\($0.last)", $0.lines) }
  }

  /// Shapes of the module's own parameters, and the names of its adapters.
  private var facts: String {
    let shapes = ownParameters.map { name, tensor in "\(name) \(tensor.shape)" + (tensor.requiresGrad ? "*" : "") }
    guard let host = self as? AdapterHost, !host.adapters.isEmpty else {
      return shapes.isEmpty ? "" : "(" + shapes.joined(separator: ", ") + ")"
    }
    return "(" + shapes.joined(separator: ", ") + ")"
  }
}
