/// The candidate closest to `name`, if one is near enough to be a likely misspelling of it.
///
/// Distance is the optimal string alignment distance (insertions, deletions, substitutions and swaps of
/// neighbours count 1 each), ignoring case. A candidate is near if at most a third of the longer name's
/// letters (and at least one) differ, or if one name starts with the other.
public func nearestName(to name: String, among candidates: some Sequence<String>) -> String? {
  // Longer ones are no slips of the pen, and the time grows with the product of the lengths.
  let longest = 300
  guard name.utf8.count <= longest else { return nil }
  let wanted = Array(name.lowercased().unicodeScalars)
  var best: (name: String, distance: Int)?
  for candidate in candidates where candidate.utf8.count <= longest {
    let letters = Array(candidate.lowercased().unicodeScalars)
    var distance = alignmentDistance(wanted, letters)
    let isPrefix =
      min(wanted.count, letters.count) >= 3
      && (letters.starts(with: wanted) || wanted.starts(with: letters))
    if distance > max(1, max(wanted.count, letters.count) / 3) {
      guard isPrefix else { continue }
      distance = max(wanted.count, letters.count)
    }
    if best.map({ distance < $0.distance }) ?? true { best = (candidate, distance) }
  }
  return best?.name
}

/// "did you mean 'x'?" for the nearest candidate; else the whole list, if it is short; else nothing.
public func suggestion(for name: String, among candidates: [String]) -> String? {
  if let near = nearestName(to: name, among: candidates) { return "did you mean '\(near)'?" }
  guard !candidates.isEmpty, candidates.count <= 16 else { return nil }
  return "expected one of " + candidates.sorted().joined(separator: ", ")
}

private func alignmentDistance(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
  if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
  var beforePrevious = [Int](repeating: 0, count: b.count + 1)
  var previous = Array(0...b.count)
  for i in 1...a.count {
    var current = [i] + [Int](repeating: 0, count: b.count)
    for j in 1...b.count {
      let substitution = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)
      current[j] = min(previous[j] + 1, current[j - 1] + 1, substitution)
      if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
        current[j] = min(current[j], beforePrevious[j - 2] + 1)
      }
    }
    (beforePrevious, previous) = (previous, current)
  }
  return previous[b.count]
}

/// The first few names of a list, for messages: "a, b, c, d, ... (12 in all)".
public func listed(_ names: [String], limit: Int = 4) -> String {
  names.prefix(limit).joined(separator: ", ") + (names.count > limit ? ", ... (\(names.count) in all)" : "")
}
