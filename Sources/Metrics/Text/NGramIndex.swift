/// Numbers for n-grams: equal n-grams have equal numbers, which count from 0 for each n.
struct NGramIndex<Element: Hashable> {
  private struct Link: Hashable {
    /// The number of the n-gram without its last element.
    let head: Int
    /// The number of its last element.
    let last: Int
  }

  private var elements: [Element: Int] = [:]
  private var links: [[Link: Int]]
  /// For each n from 1, the number of each n-gram's beginning, one element shorter; 0 where n is 1.
  private(set) var heads: [[Int]]

  /// An index of n-grams for n from 1 to `orders`.
  init(orders: Int) {
    links = Array(repeating: [:], count: orders - 1)
    heads = Array(repeating: [], count: orders)
  }

  /// How many different n-grams there are for an n, counted from 0.
  func count(_ order: Int) -> Int { heads[order].count }

  /// The numbers of a text's n-grams, for each n, in their order in the text.
  mutating func add(_ text: [Element]) -> [[Int]] {
    var result: [[Int]] = []
    result.reserveCapacity(heads.count)
    var current: [Int] = []
    current.reserveCapacity(text.count)
    for element in text {
      let number = elements[element] ?? heads[0].count
      if number == heads[0].count {
        elements[element] = number
        heads[0].append(0)
      }
      current.append(number)
    }
    result.append(current)
    for order in 1..<max(heads.count, 1) {
      let shorter = result[order - 1]
      current.removeAll(keepingCapacity: true)
      for start in 0..<max(shorter.count - 1, 0) {
        let link = Link(head: shorter[start], last: result[0][start + order])
        let number = links[order - 1][link] ?? heads[order].count
        if number == heads[order].count {
          links[order - 1][link] = number
          heads[order].append(link.head)
        }
        current.append(number)
      }
      result.append(current)
    }
    return result
  }

  /// How often each of a text's n-grams is in it, by number.
  static func counts(_ numbers: [Int]) -> [Int: Int] {
    var counts: [Int: Int] = [:]
    for number in numbers { counts[number, default: 0] += 1 }
    return counts
  }
}

/// What the n-grams of a text have in common with those of references.
struct NGramMatches {
  /// For each n: the n-grams of the text that are in a reference, each counted at most as often as in the one that has it most.
  let correct: [Int]
  /// The words of the text.
  let length: Int
  /// The words of each reference.
  let referenceLengths: [Int]

  /// Compares a text with references.
  init<Element: Hashable>(_ text: [Element], _ references: [[Element]], orders: Int) {
    var index = NGramIndex<Element>(orders: orders)
    let own = index.add(text)
    let others = references.map { index.add($0) }
    correct = (0..<orders).map { order in
      var most = [Int](repeating: 0, count: index.count(order))
      for other in others {
        for (number, count) in NGramIndex<Element>.counts(other[order]) { most[number] = max(most[number], count) }
      }
      return NGramIndex<Element>.counts(own[order]).reduce(0) { $0 + min($1.value, most[$1.key]) }
    }
    length = text.count
    referenceLengths = references.map(\.count)
  }

  /// How many n-grams the text has, for n counted from 0.
  func total(_ order: Int) -> Int { max(0, length - order) }

  /// The length of the reference that is nearest in length; of two, the shorter.
  var closestLength: Int {
    referenceLengths.min { (abs($0 - length), $0) < (abs($1 - length), $1) } ?? 0
  }
}
