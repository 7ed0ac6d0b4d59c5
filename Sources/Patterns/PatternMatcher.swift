/// Runs a pattern over one text: all ways at once, character by character (Thompson's algorithm).
struct PatternMatcher {
  private let text: [UInt32]
  /// For each look-around, the places between characters where it holds.
  private var holds: [[Bool]] = []

  /// Characters of the text.
  var count: Int { text.count }

  init(_ program: PatternProgram, _ text: String) { self.init(program, text.unicodeScalars.map(\.value)) }

  init(_ program: PatternProgram, _ text: [UInt32]) {
    self.text = text
    for look in program.looks {
      holds.append(ends(of: look.steps, startsAnywhere: true, isBackward: look.isAhead))
    }
  }

  /// The places where a match can end that started at the start of the text, or anywhere.
  func ends(of steps: [PatternStep], startsAnywhere: Bool, isBackward: Bool = false) -> [Bool] {
    var ends = [Bool](repeating: false, count: text.count + 1)
    var current = StepSet(count: steps.count)
    var next = StepSet(count: steps.count)
    let first = isBackward ? text.count : 0
    for distance in 0...text.count {
      let place = isBackward ? text.count - distance : distance
      if startsAnywhere || place == first { reach(0, at: place, of: steps, in: &current) }
      if current.hasMatch { ends[place] = true }
      if distance == text.count { break }
      let letter = text[isBackward ? place - 1 : place]
      next.removeAll()
      for step in current.reading {
        if case .set(let set) = steps[step], set.contains(letter) {
          reach(step + 1, at: isBackward ? place - 1 : place + 1, of: steps, in: &next)
        }
      }
      swap(&current, &next)
    }
    return ends
  }

  /// Where the match from `start` ends that a search with backtracking finds first: of a choice the first part that leads to a
  /// match, of a repeat the most. nil where none begins here.
  func firstEnd(of steps: [PatternStep], from start: Int, _ sets: inout StepSets) -> Int? {
    var found: Int?
    var place = start
    sets.current.removeAll()
    reach(0, at: place, of: steps, in: &sets.current, stopsAtMatch: true)
    while true {
      if sets.current.hasMatch { found = place }
      guard place < text.count, !sets.current.reading.isEmpty else { return found }
      sets.next.removeAll()
      // In the order of preference: what comes after a match is never tried.
      for step in sets.current.reading {
        guard case .set(let set) = steps[step], set.contains(text[place]) else { continue }
        reach(step + 1, at: place + 1, of: steps, in: &sets.next, stopsAtMatch: true)
        if sets.next.hasMatch { break }
      }
      swap(&sets.current, &sets.next)
      place += 1
    }
  }

  /// Adds the steps that a step leads to without reading a character, preferred ones first.
  private func reach(
    _ start: Int, at place: Int, of steps: [PatternStep], in set: inout StepSet, stopsAtMatch: Bool = false
  ) {
    set.pending.append(start)
    while let step = set.pending.popLast() {
      guard set.insert(step) else { continue }
      switch steps[step] {
      case .set: set.reading.append(step)
      case .match:
        set.hasMatch = true
        if stopsAtMatch { return set.pending.removeAll() }
      case .jump(let target): set.pending.append(target)
      case .split(let one, let other): set.pending += [other, one]
      case .anchor(let anchor): if anchor.holds(at: place, in: text) { set.pending.append(step + 1) }
      case .look(let number, let isNegated): if holds[number][place] != isNegated { set.pending.append(step + 1) }
      }
    }
  }
}

/// What a search uses again and again.
struct StepSets {
  fileprivate var current, next: StepSet

  init(_ program: PatternProgram) {
    current = StepSet(count: program.main.count)
    next = current
  }
}

/// Steps that were reached at one place.
private struct StepSet {
  /// Those that want a character.
  var reading: [Int] = []
  var hasMatch = false
  var pending: [Int] = []
  /// When each step was last reached.
  private var times: [Int]
  private var time = 1

  init(count: Int) { times = Array(repeating: 0, count: count) }

  mutating func insert(_ step: Int) -> Bool {
    if times[step] == time { return false }
    times[step] = time
    return true
  }

  mutating func removeAll() {
    reading.removeAll(keepingCapacity: true)
    hasMatch = false
    time += 1
  }
}
