import Adapters
import Files
import Pipelines
import Training

extension AttachedAdapter {
  /// "lora 'default': 294,912 parameters on 24 modules: roberta.encoder.layer.{0-11}.attention.self.{query,value}".
  package var summary: String {
    let count = parameterCount
    let own =
      method.trainsBase
      ? "the model's own parameters"
      : count > 0 ? "\(grouped(String(count))) parameters" + (sites.isEmpty ? "" : " on \(siteSummary)") : nil
    let saved = savedModules.isEmpty ? nil : "saved whole: " + savedModules.joined(separator: ", ")
    return "\(method.name) '\(name)': " + [own, saved].compactMap { $0 }.joined(separator: "; ")
  }

  /// "24 modules: roberta.encoder.layer.{0-11}.attention.self.{query,value}".
  package var siteSummary: String { "\(sites.count) module\(sites.count == 1 ? "" : "s"): " + compactPaths(sites).joined(separator: ", ") }

  /// What `results.json` and reports tell about the adapter.
  package var facts: JSONValue {
    [
      "name": .string(name), "method": .string(method.name), "parameters": .int(parameterCount),
      "modules": .array(sites.map { .string($0) }), "modules_to_save": .array(savedModules.map { .string($0) }),
      "options": .object(method.options),
    ]
  }
}

/// Paths with the numbers of layers, and the last names, drawn together where everything else is equal. Exact: what it
/// stands for are these paths and no others.
package func compactPaths(_ paths: [String]) -> [String] {
  /// Parts by everything that is around them, in order of appearance.
  func grouped(_ items: [(key: String, value: String)]) -> [(key: String, values: [String])] {
    var order: [String] = []
    var values: [String: [String]] = [:]
    for (key, value) in items {
      if values[key] == nil { order.append(key) }
      values[key, default: []].append(value)
    }
    return order.map { ($0, values[$0] ?? []) }
  }
  let hole = "\u{0}"
  let byLayer = grouped(
    paths.map { path in
      var parts = path.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
      guard let place = parts.firstIndex(where: { Int($0) != nil }) else { return (path, "") }
      let number = parts[place]
      parts[place] = hole
      return (parts.joined(separator: "."), number)
    }
  ).map { key, numbers in key.replacing(hole, with: braces(runs(numbers.compactMap { Int($0) }))) }
  let byName = grouped(
    byLayer.map { path in
      guard let dot = path.lastIndex(of: ".") else { return ("", path) }
      return (String(path[...dot]), String(path[path.index(after: dot)...]))
    })
  return byName.map { $0.key + braces($0.values) }
}

private func braces(_ parts: [String]) -> String {
  parts.count == 1 && !parts[0].contains("-") ? parts[0] : "{" + parts.joined(separator: ",") + "}"
}

/// Ascending numbers as "0-3", "7".
private func runs(_ numbers: [Int]) -> [String] {
  var result: [(first: Int, last: Int)] = []
  for number in numbers {
    if let last = result.last, number == last.last + 1 { result[result.count - 1].last = number } else { result.append((number, number)) }
  }
  return result.map { $0.first == $0.last ? "\($0.first)" : "\($0.first)-\($0.last)" }
}
