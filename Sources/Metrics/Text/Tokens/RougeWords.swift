/// The words that rouge_score compares: runs of a to z and digits in lower case, those of more than three letters as stems.
func rougeWords(_ text: [Unicode.Scalar], stemmer: PorterStemmer?) -> [[UInt8]] {
  let runs = text.lowercased.split { !(("a"..."z").contains($0) || $0.isASCIIDigit) }
  return runs.map { run in
    let word = run.map { UInt8($0.value) }
    return word.count > 3 ? stemmer?.stem(word) ?? word : word
  }
}
