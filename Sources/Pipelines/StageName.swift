/// The name of a stage, taken apart: `lua/sweep.lua` calls a training "rte lora r=8 seed=1".
public struct StageName: Sendable {
  /// What stands before the point: "rte lora".
  public let base: String
  /// The point of a grid, in order: r = 8.
  public let point: [(name: String, value: String)]
  public let seed: String?

  public init(_ name: String) {
    var words = name.split(separator: " ", omittingEmptySubsequences: true).map(String.init)
    var pairs: [(name: String, value: String)] = []
    while let word = words.last, let pair = Self.pair(word) {
      pairs.insert(pair, at: 0)
      words.removeLast()
    }
    base = words.joined(separator: " ")
    seed = pairs.last { $0.name == "seed" }?.value
    point = pairs.filter { $0.name != "seed" }
  }

  /// The name without its seed.
  public var withoutSeed: String { ([base].filter { !$0.isEmpty } + point.map { "\($0.name)=\($0.value)" }).joined(separator: " ") }

  private static func pair(_ word: String) -> (name: String, value: String)? {
    guard let equals = word.firstIndex(of: "="), let first = word.first, first.isLetter || first == "_" else { return nil }
    let name = word[..<equals]
    return name.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "." } ? (String(name), String(word[word.index(after: equals)...])) : nil
  }
}
