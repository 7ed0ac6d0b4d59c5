/// One step of a pattern.
enum PatternStep: Sendable {
  case set(ScalarSet)
  case anchor(PatternAnchor)
  /// Goes on where the numbered look-around holds, or where it does not.
  case look(Int, isNegated: Bool)
  case split(Int, Int)
  case jump(Int)
  case match
}

/// A look-around's steps.
struct PatternLook: Sendable {
  let steps: [PatternStep]
  /// What is ahead is read from the end of the text to its start, its steps being in that order.
  let isAhead: Bool
}

/// A pattern as steps for the matcher.
struct PatternProgram: Sendable {
  /// Steps of a whole pattern, look-around included; with paths of some hundred letters, a match takes milliseconds.
  static let largestCount = 20_000

  private(set) var main: [PatternStep] = []
  /// Inner ones before those that they are part of.
  private(set) var looks: [PatternLook] = []
  private var count = 0

  init(_ node: PatternNode) throws(PatternMistake) {
    main = try steps(node, isReversed: false)
  }

  private mutating func steps(_ node: PatternNode, isReversed: Bool) throws(PatternMistake) -> [PatternStep] {
    var steps: [PatternStep] = []
    try append(node, isReversed, to: &steps)
    steps.append(.match)
    return steps
  }

  private mutating func add(_ step: PatternStep, to steps: inout [PatternStep]) throws(PatternMistake) {
    count += 1
    guard count <= Self.largestCount else {
      throw PatternMistake(reason: "too large, expected at most \(Self.largestCount) characters with repeats written out")
    }
    steps.append(step)
  }

  private mutating func append(
    _ node: PatternNode, _ isReversed: Bool, to steps: inout [PatternStep]
  ) throws(PatternMistake) {
    switch node {
    case .set(let set): try add(.set(set), to: &steps)
    case .anchor(let anchor): try add(.anchor(anchor), to: &steps)
    case .sequence(let parts):
      for part in isReversed ? parts.reversed() : parts { try append(part, isReversed, to: &steps) }
    case .choice(let parts):
      var ends: [Int] = []
      for part in parts.dropLast() {
        let split = steps.count
        try add(.split(split + 1, 0), to: &steps)
        try append(part, isReversed, to: &steps)
        ends.append(steps.count)
        try add(.jump(0), to: &steps)
        steps[split] = .split(split + 1, steps.count)
      }
      if let last = parts.last { try append(last, isReversed, to: &steps) }
      for end in ends { steps[end] = .jump(steps.count) }
    case .repeated(let part, let least, let most):
      try appendRepeated(part, least, most, isReversed, to: &steps)
    case .look(let part, let isAhead, let isNegated):
      let look = PatternLook(steps: try self.steps(part, isReversed: isAhead), isAhead: isAhead)
      looks.append(look)
      try add(.look(looks.count - 1, isNegated: isNegated), to: &steps)
    }
  }

  private mutating func appendRepeated(
    _ part: PatternNode, _ least: Int, _ most: Int?, _ isReversed: Bool, to steps: inout [PatternStep]
  ) throws(PatternMistake) {
    for _ in 0..<least {
      let before = steps.count
      try append(part, isReversed, to: &steps)
      if steps.count == before { return }  // Nothing, however often.
    }
    guard let most else {
      let split = steps.count
      try add(.split(split + 1, 0), to: &steps)
      try append(part, isReversed, to: &steps)
      try add(.jump(split), to: &steps)
      steps[split] = .split(split + 1, steps.count)
      return
    }
    var splits: [Int] = []
    for _ in least..<most {
      splits.append(steps.count)
      try add(.split(0, 0), to: &steps)
      try append(part, isReversed, to: &steps)
    }
    for split in splits { steps[split] = .split(split + 1, steps.count) }
  }
}
