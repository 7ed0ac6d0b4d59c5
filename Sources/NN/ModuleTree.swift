import TensorCore

extension Module {
  /// The tree of modules as text, a line for each, with the shapes of its parameters and its adapters; "*" stands behind what trains.
  /// Equal neighbours, as the layers of a stack, are one line with their numbers.
  public func tree() -> String { treeLines().joined(separator: "\n") }

  private func treeLines() -> [String] {
    let shapes = ownParameters.map { name, tensor in "\(name) \(tensor.shape)" + (tensor.requiresGrad ? "*" : "") }
    var parts: [(first: String, last: String, lines: [String])] = []
    let adapters = Set((self as? AdapterHost)?.adapters.map { ObjectIdentifier($0.adapter) } ?? [])
    for (name, module) in children {
      let isAdapter = adapters.contains(ObjectIdentifier(module))
      let (name, lines) = (isAdapter ? "+ " + (name.isEmpty ? "default" : name) : name, module.treeLines())
      if let last = parts.last, Int(last.last).map({ String($0 + 1) }) == name, last.lines == lines {
        parts[parts.count - 1].last = name
      } else {
        parts.append((name, name, lines))
      }
    }
    var lines = ["\(type(of: self))" + (shapes.isEmpty ? "" : "(" + shapes.joined(separator: ", ") + ")")]
    for part in parts {
      let name = part.first == part.last ? part.first : part.first + "-" + part.last
      lines.append("  " + (name.isEmpty ? "" : name + ": ") + part.lines[0])
      lines += part.lines.dropFirst().map { "  " + $0 }
    }
    return lines
  }
}
