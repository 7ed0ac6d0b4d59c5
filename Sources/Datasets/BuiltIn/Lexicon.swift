/// What a word says about one slot of a sentence: the set of the slot's leaf values that it allows.
///
/// "girl" is one leaf, "child" is every leaf below it, "person" is every leaf of the slot.
struct Concept: Equatable, Sendable {
  let word: String
  /// Bit i is set where leaf i of the slot is allowed.
  let leaves: UInt32

  /// True where everything that `self` allows is also allowed by `other`.
  func isWithin(_ other: Concept) -> Bool { leaves & ~other.leaves == 0 }

  /// True where no value satisfies both.
  func excludes(_ other: Concept) -> Bool { leaves & other.leaves == 0 }
}

/// The words of one slot: leaves, classes of leaves and, where English has one, a word for them all.
struct Taxonomy: Sendable {
  let leaves: [Concept]
  /// Classes and the top word: everything that covers more than one leaf.
  let general: [Concept]

  /// - Parameters:
  ///   - groups: each class with the leaves under it; at most 32 leaves in all.
  ///   - top: the word that covers every leaf, nil where there is none.
  init(_ groups: [(name: String, members: [String])], top: String? = nil) {
    var leaves: [Concept] = []
    var general: [Concept] = []
    for group in groups {
      var covered: UInt32 = 0
      for member in group.members {
        let bit = UInt32(1) << UInt32(leaves.count)
        leaves.append(Concept(word: member, leaves: bit))
        covered |= bit
      }
      general.append(Concept(word: group.name, leaves: covered))
    }
    if let top {
      general.append(Concept(word: top, leaves: general.reduce(0) { $0 | $1.leaves }))
    }
    self.leaves = leaves
    self.general = general
  }

  /// Words that exclude each other, without classes.
  init(leaves: [String]) {
    self.leaves = leaves.enumerated().map {
      Concept(word: $0.element, leaves: UInt32(1) << UInt32($0.offset))
    }
    general = []
  }

  var all: [Concept] { leaves + general }
}

/// A verb in the past tense.
///
/// Verbs of one group and side mean the same, the two sides of a group exclude each other, and verbs of
/// different groups say nothing about each other.
struct Verb: Equatable, Sendable {
  let past: String
  let group: Int
  let side: Int

  /// What a claim with this verb says about a claim with `other`.
  func relation(to other: Verb) -> Relation {
    if group != other.group { return .neutral }
    return side == other.side ? .entailment : .contradiction
  }
}

/// The words of the generated language and how their meanings relate.
enum Lexicon {
  static let agents = Taxonomy(
    [("child", ["girl", "boy"]), ("worker", ["farmer", "nurse"])], top: "person")

  static let objects = Taxonomy(
    [("pet", ["dog", "cat"]), ("fruit", ["pear", "plum"])], top: "thing")

  static let places = Taxonomy([
    ("countryside", ["forest", "field"]), ("town", ["market", "station"]),
  ])

  static let days = Taxonomy(leaves: ["Monday", "Tuesday", "Friday", "Sunday"])

  static let verbs = [
    Verb(past: "bought", group: 0, side: 0), Verb(past: "purchased", group: 0, side: 0),
    Verb(past: "sold", group: 0, side: 1),
    Verb(past: "found", group: 1, side: 0), Verb(past: "discovered", group: 1, side: 0),
    Verb(past: "lost", group: 1, side: 1),
    Verb(past: "pushed", group: 2, side: 0), Verb(past: "shoved", group: 2, side: 0),
    Verb(past: "pulled", group: 2, side: 1),
  ]

  /// The words of a slot; nil for the verb, which has no classes.
  static func taxonomy(_ slot: Slot) -> Taxonomy? {
    switch slot {
    case .agent: return agents
    case .verb: return nil
    case .object: return objects
    case .place: return places
    case .day: return days
    }
  }
}
