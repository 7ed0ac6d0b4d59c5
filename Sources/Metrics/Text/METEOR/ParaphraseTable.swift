import Diagnostics
import Files

/// Phrases that mean the same, as METEOR's tables have them: a probability, a phrase, and another one, each on a line.
struct ParaphraseTable: Sendable {
  /// By their first words, phrases with what they can be replaced by.
  private var phrases: [Word: [(phrase: [Word], others: [Word])]] = [:]

  /// Reads those of a table whose phrases occur: all their words are among `words`.
  init(path: String, words: Set<Word>) throws {
    let text = try readText(path)
    guard !text.isEmpty else { throw EngineError(.data, "\(path): the file is empty", hint: "expected METEOR's table of paraphrases, unpacked") }
    var (place, first) = (0, [Word]())
    for line in text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false) {
      place += 1
      if place % 4096 == 0 { try Interrupt.check() }
      if place % 3 == 1 {
        guard line.isEmpty || Double(String(String.UnicodeScalarView(line))) != nil else {
          throw EngineError(
            .data, "\(path):\(place): expected a probability, got '\(shortened(String(String.UnicodeScalarView(line)), limit: 40))'",
            hint: "METEOR's tables have a probability, a phrase and a paraphrase, each on a line")
        }
        continue
      }
      let phrase = Array(line).words()
      if place % 3 == 2 {
        first = phrase
      } else if let head = first.first, !phrase.isEmpty, (first + phrase).allSatisfy(words.contains) {
        phrases[head, default: []].append((first, phrase))
      }
    }
  }

  /// The paraphrases of the phrases that begin at a place, with the length of the phrase; short phrases first.
  func paraphrases(_ text: [Word], at place: Int) -> [(length: Int, others: [Word])] {
    let found = (phrases[text[place]] ?? []).filter { text[place...].starts(with: $0.phrase) }
    return found.enumerated().sorted { ($0.element.phrase.count, $0.offset) < ($1.element.phrase.count, $1.offset) }
      .map { ($0.element.phrase.count, $0.element.others) }
  }
}
