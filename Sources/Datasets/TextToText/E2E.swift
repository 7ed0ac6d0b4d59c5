import Diagnostics
import Files

/// Sentences about restaurants for lists of their attributes: the E2E NLG Challenge (Novikova and others 2017).
///
/// Inputs and texts are written as LoRA's authors wrote them for GPT-2, "name : The Vaults | Type : pub | price : more than £ 30", with
/// words and punctuation parted by spaces. Inputs are theirs in every row of the development and test sets, texts in 99 % of them
/// (contractions and quotes were not always parted alike). Their own files, `input||text`, are read as they are.
public struct E2E: TextToText {
  public var options = TextToTextOptions()

  public init() {}

  public static let name = "e2e"
  public static let summary =
    "The E2E NLG Challenge: a sentence for the attributes of a restaurant; files: trainset.csv, devset.csv and testset_w_refs.csv, or .txt files with lines of input||text."
  public static let builtInName = "builtin:data_to_text"
  public static let metrics = ["e2e_bleu", "nist", "meteor", "coco_rouge_l", "cider"]
  public static let repeatsInputs = true
  public static let fields: [Field<Self>] = Field.fields(of: \.options)

  public static func files(_ part: DataPart) -> [String] {
    switch part {
    case .train: ["trainset.csv"]
    case .validation: ["devset.csv"]
    case .test: ["testset_w_refs.csv"]
    }
  }

  public func examples(of path: String, _ part: DataPart) throws -> [Example] {
    if FilePath.fileExtension(of: path) == "txt" { return try linearised(path) }
    return try readRows(path, format: .csv, columns: .named(["mr", "ref"])).map { row in
      guard case .values(let values) = row.content else {
        if case .malformed(let problem) = row.content { throw malformed(problem, row, path) }
        return Example([], line: row.line)
      }
      do {
        return example(try Self.attributes(values[0]), [Self.parted(values[1])], row.line)
      } catch let error as EngineError {
        throw error.at("\(path):\(row.line)")
      }
    }
  }

  public func builtIn(_ part: DataPart) -> [Example] {
    BuiltIn.dataToText(part).enumerated().map { example($1.attributes, $1.texts, $0 + 1) }
  }

  private func example(_ attributes: [(name: String, value: String)], _ texts: [String], _ line: Int) -> Example {
    let input = attributes.map { "\(Self.names[$0.name] ?? $0.name) : \(Self.parted($0.value))" }.joined(separator: " | ")
    return Example([input], target: .texts(texts.filter { !$0.isEmpty }), line: line)
  }

  private func linearised(_ path: String) throws -> [Example] {
    try linesOfText(path).map { number, line in
      guard let bar = line.firstRange(of: "||") else {
        throw EngineError(.data, "\(path):\(number): no '||' between the input and its text: '\(excerpt(line))'")
      }
      let text = withoutSpacesAround(line[bar.upperBound...])
      return Example([withoutSpacesAround(line[..<bar.lowerBound])], target: .texts(text.isEmpty ? [] : [text]), line: number)
    }
  }

  /// What LoRA's authors call an attribute where they call it otherwise.
  private static let names = ["eatType": "Type", "priceRange": "price", "familyFriendly": "family friendly"]

  /// "name[The Vaults], eatType[pub]" taken apart.
  private static func attributes(_ text: String) throws -> [(name: String, value: String)] {
    var rest = text[...]
    var found: [(name: String, value: String)] = []
    while let open = rest.firstIndex(of: "["), let close = rest[open...].firstIndex(of: "]") {
      let name = withoutSpacesAround(rest[..<open].drop { $0 == "," || $0 == " " })
      found.append((name, String(rest[rest.index(after: open)..<close])))
      rest = rest[rest.index(after: close)...]
      if name.isEmpty { break }
    }
    guard !found.isEmpty, rest.allSatisfy(\.isWhitespace), found.allSatisfy({ !$0.name.isEmpty && !$0.value.isEmpty }) else {
      throw EngineError(.data, "expected attributes like name[The Vaults], eatType[pub], got '\(excerpt(text))'")
    }
    return found
  }

  /// A text with spaces around punctuation, around hyphens within words and in front of contractions.
  static func parted(_ text: String) -> String {
    let letters = Array(text)
    var result = ""
    func isWord(_ index: Int) -> Bool { letters.indices.contains(index) && (letters[index].isLetter || letters[index].isNumber) }
    func isEnd(_ index: Int) -> Bool { index >= letters.count || letters[index].isWhitespace }
    for (i, letter) in letters.enumerated() {
      switch letter {
      case "£", "$", "€", ",", ";", "!", "?", "(", ")", "\"", ":": result += " \(letter) "
      case "-" where isWord(i - 1) && isWord(i + 1): result += " - "
      case "." where isEnd(i + 1): result += " . "
      case "'", "’":
        let ending = String(letters[(i + 1)...].prefix { $0.isLetter })
        if isWord(i - 1), ["s", "re", "ve", "ll", "d", "m"].contains(ending) {
          result += " \(letter)"
        } else if isWord(i - 1), ending == "t", result.last == "n" {
          result.removeLast()
          result += " n\(letter)"
        } else if isWord(i - 1) && isWord(i + 1) {
          result.append(letter)
        } else {
          result += " \(letter) "
        }
      default: result.append(letter)
      }
    }
    return result.split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }
}

/// A part of a line without the white space at its ends.
func withoutSpacesAround(_ text: Substring) -> String {
  var text = text.drop(while: \.isWhitespace)
  while text.last?.isWhitespace == true { text.removeLast() }
  return String(text)
}
