/// What an example should give.
public enum Target: Sendable, Equatable {
  /// Nothing: its own text is what is learnt, or nobody knows.
  case none
  /// A class, by its place among the task's labels.
  case label(Int)
  case score(Double)
  /// One text, or several that are as good.
  case texts([String])
}

/// One text, or pair of texts, with what it should give.
public struct Example: Sendable, Equatable {
  /// The text, or both texts of a pair, as the file has them (no trimming).
  public var inputs: [String]
  public var target: Target
  /// The line of its file where the example starts, counted from 1 (a header is line 1).
  public var line: Int

  public init(_ inputs: [String], target: Target = .none, line: Int) {
    self.inputs = inputs
    self.target = target
    self.line = line
  }

  /// The text, or the first text of a pair.
  public var text: String { inputs.first ?? "" }
  /// The second text of a pair; nil for single texts.
  public var textPair: String? { inputs.count > 1 ? inputs[1] : nil }
  /// The texts that it should give; empty where that is something else.
  public var references: [String] { if case .texts(let texts) = target { texts } else { [] } }
  /// All its texts, those that it should give included.
  public var texts: [String] { inputs + references }
}

extension [Example] {
  /// The examples with all texts of an input in one place, that of the first. Inputs are told apart by their bytes, not as Swift compares
  /// texts, to which two spellings of a letter are the same.
  public var grouped: [Example] {
    var places: [[UInt8]: Int] = [:]
    var result: [Example] = []
    for example in self {
      let input = [UInt8](example.text.utf8)
      if let place = places[input] {
        result[place].target = .texts(result[place].references + example.references)
      } else {
        places[input] = result.count
        result.append(example)
      }
    }
    return result
  }
}

/// The examples of one file.
public struct Split: Sendable, Equatable {
  /// `train`, `dev`, `dev_matched`, ...: the file's name without its extension.
  public let name: String
  /// The file that it was read from.
  public let path: String
  /// What follows the names of its metrics, where it is not the first set that is evaluated: "_mm".
  public let suffix: String
  /// In the file's order, or in a shuffled order if there was a limit (see `RowLimit`).
  public var examples: [Example]

  /// `suffix`: nil takes the name.
  public init(name: String, path: String, suffix: String? = nil, examples: [Example]) {
    self.name = name
    self.path = path
    self.suffix = suffix ?? "_" + name
    self.examples = examples
  }
}
