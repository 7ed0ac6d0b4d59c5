/// One text, or pair of texts, with its label.
public struct Example: Sendable, Equatable {
  /// The text, or the first text of a pair, as the file has it (no trimming).
  public var text: String
  /// The second text of a pair; nil for tasks on single texts.
  public var textPair: String?
  /// The index of the class in the task's `labelNames`, or the score.
  ///
  /// Nil only for examples that no reader made, such as texts to predict.
  public var label: Double?
  /// The line of its file where the example starts, counted from 1 (a header is line 1).
  public var line: Int

  /// An example; see the properties.
  public init(text: String, textPair: String? = nil, label: Double?, line: Int) {
    self.text = text
    self.textPair = textPair
    self.label = label
    self.line = line
  }
}

/// The examples of one file.
public struct Split: Sendable, Equatable {
  /// `train`, `dev`, `dev_matched`, ...: the file's name without its extension.
  public let name: String
  /// The file that it was read from.
  public let path: String
  /// In the file's order, or in a shuffled order if there was a limit (see `RowLimit`).
  public var examples: [Example]

  /// A split; see the properties.
  public init(name: String, path: String, examples: [Example]) {
    self.name = name
    self.path = path
    self.examples = examples
  }
}
