import Diagnostics

/// A stretch of a reference that means the same as a stretch of a hypothesis.
struct MeteorMatch: Sendable {
  /// Where it begins and how long it is, in the reference and in the hypothesis.
  let start: Int
  let length: Int
  let hypothesisStart: Int
  let hypothesisLength: Int
  /// Which stage found it, from 0: exact, stem, synonym, paraphrase.
  let stage: Int
}

/// Matches between two texts, by where they begin in the reference.
struct MeteorMatches {
  private(set) var byStart: [[MeteorMatch]]
  /// How many matches cover each word.
  private(set) var coverage: [Int]
  private(set) var hypothesisCoverage: [Int]
  private(set) var count = 0

  init(hypothesisLength: Int, referenceLength: Int) {
    byStart = Array(repeating: [], count: referenceLength)
    coverage = Array(repeating: 0, count: referenceLength)
    hypothesisCoverage = Array(repeating: 0, count: hypothesisLength)
  }

  mutating func add(_ match: MeteorMatch) {
    byStart[match.start].append(match)
    for place in match.start..<match.start + match.length { coverage[place] += 1 }
    for place in match.hypothesisStart..<match.hypothesisStart + match.hypothesisLength { hypothesisCoverage[place] += 1 }
    count += 1
  }

  /// Matches that begin at a place where no other does, and whose words no other covers.
  fileprivate var definite: [MeteorMatch] {
    byStart.compactMap { matches in
      guard matches.count == 1, let match = matches.first,
        coverage[match.start..<match.start + match.length].allSatisfy({ $0 == 1 }),
        hypothesisCoverage[match.hypothesisStart..<match.hypothesisStart + match.hypothesisLength].allSatisfy({ $0 == 1 })
      else { return nil }
      return match
    }
  }

  /// The matches of the best alignment, in which each word has one at most: more matched words, then fewer chunks, then less
  /// distance. Found by a search that keeps the 40 best beginnings.
  func aligned() throws -> [MeteorMatch] {
    var start = Path(hypothesisLength: hypothesisCoverage.count, referenceLength: coverage.count)
    var fixed = [MeteorMatch?](repeating: nil, count: coverage.count)
    for match in definite {
      start.use(match)
      fixed[match.start] = match
    }
    var next = [start]
    for place in 0...byStart.count {
      if place % 64 == 0 { try Interrupt.check() }
      let paths = Self.best(next)
      next = []
      for var path in paths.prefix(40) {
        if place == byStart.count {
          if path.lastEnd != -1 { path.chunks += 1 }
          next.append(path)
        } else if path.isUsed[place] {
          if place < path.place {
            next.append(path)
          } else if let match = fixed[path.place] {
            path.count(match)
            path.distance += abs(match.start - match.hypothesisStart)
            next.append(path)
          }
        } else {
          for match in byStart[place] where path.isFree(match) {
            var longer = path
            longer.choose(match)
            // The distance counts for the path that goes on without the match, as in the program.
            path.distance += abs(match.start - match.hypothesisStart)
            next.append(longer)
          }
          if path.lastEnd != -1 {
            path.chunks += 1
            path.lastEnd = -1
          }
          path.place += 1
          next.append(path)
        }
      }
      if next.isEmpty { next = Array(paths.prefix(1)) }
    }
    let chosen = Self.best(next).first?.chosen ?? []
    return (fixed.compactMap { $0 } + chosen).sorted { $0.start < $1.start }
  }

  /// In order, equals as they were.
  private static func best(_ paths: [Path]) -> [Path] {
    let order = paths.indices.sorted { first, second in
      let (a, b) = (paths[first], paths[second])
      return (-a.weight, a.chunks, a.distance, first) < (-b.weight, b.chunks, b.distance, second)
    }
    return order.map { paths[$0] }
  }

  /// The matches that a path has chosen, the last one first; paths share their beginnings.
  private final class Chosen: Sendable {
    let match: MeteorMatch
    let before: Chosen?

    init(_ match: MeteorMatch, _ before: Chosen?) { (self.match, self.before) = (match, before) }
  }

  /// An alignment up to a place of the reference.
  private struct Path {
    var isUsed: [Bool]
    var isHypothesisUsed: [Bool]
    var last: Chosen?
    /// Matched words of the hypothesis and of the reference. Both are whole numbers in the program, where a match other than an
    /// exact one adds half its words: one word adds nothing.
    var weight = 0
    var chunks = 0
    /// The first place of the reference that is not decided.
    var place = 0
    /// Where the last match ended in the hypothesis; -1 behind a word without a match.
    var lastEnd = -1
    var distance = 0

    init(hypothesisLength: Int, referenceLength: Int) {
      isUsed = Array(repeating: false, count: referenceLength)
      isHypothesisUsed = Array(repeating: false, count: hypothesisLength)
    }

    var chosen: [MeteorMatch] {
      var matches: [MeteorMatch] = []
      var link = last
      while let chosen = link {
        matches.append(chosen.match)
        link = chosen.before
      }
      return matches
    }

    func isFree(_ match: MeteorMatch) -> Bool {
      !isUsed[match.start..<match.start + match.length].contains(true)
        && !isHypothesisUsed[match.hypothesisStart..<match.hypothesisStart + match.hypothesisLength].contains(true)
    }

    mutating func use(_ match: MeteorMatch) {
      for word in match.start..<match.start + match.length { isUsed[word] = true }
      for word in match.hypothesisStart..<match.hypothesisStart + match.hypothesisLength { isHypothesisUsed[word] = true }
    }

    mutating func choose(_ match: MeteorMatch) {
      use(match)
      last = Chosen(match, last)
      count(match)
    }

    mutating func count(_ match: MeteorMatch) {
      let divisor = match.stage == 0 ? 1 : 2
      weight += match.hypothesisLength / divisor + match.length / divisor
      if lastEnd != -1, match.hypothesisStart != lastEnd { chunks += 1 }
      place = match.start + match.length
      lastEnd = match.hypothesisStart + match.hypothesisLength
    }
  }
}

/// How many stretches of neighbouring matches there are, in the order of the reference.
func meteorChunks(_ matches: [MeteorMatch]) -> Int {
  var chunks = 0
  var last: MeteorMatch?
  for match in matches {
    let continues = last.map {
      $0.start + $0.length == match.start && $0.hypothesisStart + $0.hypothesisLength == match.hypothesisStart
    }
    if continues != true { chunks += 1 }
    last = match
  }
  return chunks
}
