/// The words that the evaluation of MS COCO's captions compares: tokens of the Penn Treebank in lower case, without punctuation.
///
/// Brackets stay, as `-lrb-` and the like: its list of punctuation has them in capitals, and the tokens are in lower case by then.
func cocoWords(_ text: [Unicode.Scalar]) -> [Word] {
  var lexer = TreebankLexer(text.map { $0 == "\n" ? " " : $0 })
  var words = lexer.words().map(\.lowercased)
  // An address may end with a space of other kinds; the evaluation cuts spaces off the whole line.
  if let last = words.popLast() { words.append(last.withoutTrailingSpaces) }
  return words.filter { !punctuation.contains($0) }
}

/// The same cut at all spaces: the program's BLEU and CIDEr take a token with a no-break space inside, such as "1 1/2", for two words.
func cocoNGramWords(_ text: [Unicode.Scalar]) -> [Word] { cocoWords(text).flatMap { $0.words() } }

private let punctuation = Set(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"].map { Array($0.unicodeScalars) })
