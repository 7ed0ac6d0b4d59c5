import Diagnostics

/// Learns a byte-level BPE vocabulary.
public enum BPETrainer {
  /// Learns merges from a corpus, always the same ones from the same corpus.
  ///
  /// The vocabulary holds the special tokens, in their order from id 0, then the 256 bytes, then
  /// one token per merge. At each step the most frequent pair of neighbours is merged, the one with
  /// the smallest ids among equals. Texts are encoded as RoBERTa's: `<s> a </s>`, `<s> a </s></s> b
  /// </s>`, no space in front.
  ///
  /// - Parameters:
  ///   - corpus: the texts to learn from.
  ///   - vocabularySize: the number of tokens wanted, at least the special tokens and 256 bytes;
  ///     there are fewer if the corpus has no more pairs.
  ///   - specialTokens: at least `<s>` and `</s>`; `<mask>` takes the white space on its left.
  /// - Throws: `EngineError` for a vocabulary too small, and special tokens that are missing or
  ///   repeated.
  public static func train(
    corpus: [String], vocabularySize: Int, specialTokens: [String]
  ) throws -> Tokenizer {
    let place = "tokenizers.train"
    for token in ["<s>", "</s>"] where !specialTokens.contains(token) {
      throw EngineError(.argument, "\(place): special token '\(token)' is missing")
    }
    guard !specialTokens.contains("") else {
      throw EngineError(.argument, "\(place): a special token is empty")
    }
    let smallest = specialTokens.count + 256
    guard vocabularySize >= smallest, vocabularySize <= Vocabulary.largestId else {
      throw EngineError(
        .argument,
        "\(place): vocab_size is \(vocabularySize), expected \(smallest) (the special tokens "
          + "and 256 bytes) to \(Vocabulary.largestId)")
    }
    var tokens = specialTokens
    tokens += ByteLevel.scalars.sorted().map { String($0) }
    var learner = MergeLearner(
      words: countWords(corpus), firstByteId: specialTokens.count, tokens: tokens)
    learner.learn(until: vocabularySize)
    let vocabulary = try Vocabulary(
      learner.tokens.enumerated().map { (token: $1, id: $0) }, at: place)
    let model = try BPE(
      vocabulary: vocabulary,
      merges: learner.merges.map { (learner.tokens[$0.left][...], learner.tokens[$0.right][...]) },
      unknownToken: nil, at: place, mergePlace: { "\(place): merge \($0 + 1)" })
    var definition = TokenizerDefinition(place: place, model: model)
    definition.addedTokens = specialTokens.enumerated().map {
      AddedToken($1, id: $0, lstrip: $1 == "<mask>")
    }
    definition.preTokenizer = TokenizerDefinition.byteLevelJSON(addsPrefixSpace: false)
    definition.decoder = TokenizerDefinition.byteLevelJSON(addsPrefixSpace: true)
    func numbered(_ token: String) -> (token: String, id: Int) {
      (token, specialTokens.firstIndex(of: token) ?? 0)
    }
    definition.postProcessor = TokenizerDefinition.robertaJSON(
      cls: numbered("<s>"), sep: numbered("</s>"), addsPrefixSpace: false)
    return try Tokenizer(definition)
  }

  /// How often each word comes, as byte-level characters, in the order of first appearance.
  private static func countWords(_ corpus: [String]) -> [(word: [UInt8], count: Int)] {
    let splitter = ByteLevel(addsPrefixSpace: false)
    var indices = [[UInt8]: Int]()
    var words = [(word: [UInt8], count: Int)]()
    for text in corpus {
      var pieces = Pieces()
      Array(text.utf8).withUnsafeBufferPointer { splitter.split($0, into: &pieces) }
      pieces.forEach { piece in
        let word = Array(piece)
        if let index = indices[word] {
          words[index].count += 1
        } else {
          indices[word] = words.count
          words.append((word, 1))
        }
      }
    }
    return words
  }
}

/// The words of a corpus as symbols, merged pair by pair.
private struct MergeLearner {
  struct Pair: Hashable {
    var left: Int
    var right: Int
  }

  private struct Word {
    var symbols: [Int]
    let count: Int
  }

  private(set) var tokens: [String]
  private(set) var merges: [Pair] = []
  private var words: [Word]
  private var counts: [Pair: Int] = [:]
  /// Words in which a pair may stand; some may have lost it since.
  private var places: [Pair: Set<Int>] = [:]
  private var idOfToken: [[UInt8]: Int] = [:]

  init(words: [(word: [UInt8], count: Int)], firstByteId: Int, tokens: [String]) {
    self.tokens = tokens
    for id in firstByteId..<tokens.count { idOfToken[Array(tokens[id].utf8)] = id }
    var idOfScalar = [Unicode.Scalar: Int]()
    for (index, scalar) in ByteLevel.scalars.sorted().enumerated() {
      idOfScalar[scalar] = firstByteId + index
    }
    self.words = words.map { word, count in
      var symbols = [Int]()
      forEachScalar(of: word) { if let id = idOfScalar[$0] { symbols.append(id) } }
      return Word(symbols: symbols, count: count)
    }
    for (index, word) in self.words.enumerated() {
      for pair in zip(word.symbols, word.symbols.dropFirst()) {
        add(Pair(left: pair.0, right: pair.1), word.count, at: index)
      }
    }
  }

  private mutating func add(_ pair: Pair, _ count: Int, at word: Int) {
    counts[pair, default: 0] += count
    if count > 0 { places[pair, default: []].insert(word) }
  }

  mutating func learn(until size: Int) {
    var queue = CandidateQueue(counts)
    while tokens.count < size, let pair = queue.next(current: counts) {
      let merged = tokens[pair.left] + tokens[pair.right]
      let key = Array(merged.utf8)
      let id = idOfToken[key] ?? tokens.count
      if id == tokens.count {
        tokens.append(merged)
        idOfToken[key] = id
      }
      merges.append(pair)
      for changed in merge(pair, into: id) {
        if let count = counts[changed], count > 0 { queue.push(changed, count) }
      }
    }
  }

  /// Replaces the pair in every word; returns the pairs that became more frequent.
  private mutating func merge(_ pair: Pair, into id: Int) -> Set<Pair> {
    var grown = Set<Pair>()
    for index in places[pair] ?? [] {
      let old = words[index].symbols
      var new = [Int]()
      new.reserveCapacity(old.count)
      var position = 0
      while position < old.count {
        if position + 1 < old.count, old[position] == pair.left, old[position + 1] == pair.right {
          new.append(id)
          position += 2
        } else {
          new.append(old[position])
          position += 1
        }
      }
      guard new.count < old.count else { continue }
      let count = words[index].count
      for (left, right) in zip(old, old.dropFirst()) {
        add(Pair(left: left, right: right), -count, at: index)
      }
      for (left, right) in zip(new, new.dropFirst()) {
        let pair = Pair(left: left, right: right)
        add(pair, count, at: index)
        if left == id || right == id { grown.insert(pair) }
      }
      words[index].symbols = new
    }
    counts[pair] = nil
    places[pair] = nil
    return grown
  }
}

/// Pairs by frequency; counts may have fallen since they were queued.
private struct CandidateQueue {
  private struct Candidate {
    let pair: MergeLearner.Pair
    let count: Int

    func comes(before other: Candidate) -> Bool {
      if count != other.count { return count > other.count }
      if pair.left != other.pair.left { return pair.left < other.pair.left }
      return pair.right < other.pair.right
    }
  }

  private var items: [Candidate] = []

  init(_ counts: [MergeLearner.Pair: Int]) {
    for (pair, count) in counts { push(pair, count) }
  }

  mutating func push(_ pair: MergeLearner.Pair, _ count: Int) {
    items.append(Candidate(pair: pair, count: count))
    var child = items.count - 1
    while child > 0, items[child].comes(before: items[(child - 1) / 2]) {
      items.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  /// Takes the most frequent pair.
  mutating func next(current counts: [MergeLearner.Pair: Int]) -> MergeLearner.Pair? {
    while let top = pop() {
      let count = counts[top.pair] ?? 0
      if count == top.count { return top.pair }
      if count > 0, count < top.count { push(top.pair, count) }
    }
    return nil
  }

  private mutating func pop() -> Candidate? {
    guard let top = items.first, let last = items.popLast() else { return nil }
    guard !items.isEmpty else { return top }
    items[0] = last
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < items.count else { return top }
      if child + 1 < items.count, items[child + 1].comes(before: items[child]) { child += 1 }
      guard items[child].comes(before: items[parent]) else { return top }
      items.swapAt(child, parent)
      parent = child
    }
  }
}
