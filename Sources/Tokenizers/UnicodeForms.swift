import Foundation

/// The four Unicode normalization forms.
///
/// Foundation gives the decomposition of one scalar; ordering and composition are done here,
/// because Foundation's leave some sequences out of canonical order (U+0F73, and compatibility
/// decompositions into marks) and compose some scalars above U+FFFF as if they were others (U+E0160
/// as U+0160).
enum UnicodeForm: String, Sendable {
  case nfc = "NFC"
  case nfd = "NFD"
  case nfkc = "NFKC"
  case nfkd = "NFKD"

  private var composes: Bool { self == .nfc || self == .nfkc }

  private var decompositions: [UInt32: [Unicode.Scalar]] {
    self == .nfc || self == .nfd
      ? UnicodeForm.canonicalDecompositions : UnicodeForm.compatibilityDecompositions
  }

  /// The text in this form.
  func apply(_ bytes: [UInt8]) -> [UInt8] {
    guard bytes.contains(where: { $0 >= 0x80 }) else { return bytes }
    let table = decompositions
    var scalars = [Unicode.Scalar]()
    var classes = [UInt8]()
    scalars.reserveCapacity(bytes.count)
    classes.reserveCapacity(bytes.count)
    // The marks since the last starter, and whether they stand out of order.
    var firstMark = 0
    var isDisordered = false
    func orderMarks() {
      if isDisordered { UnicodeForm.orderMarks(&scalars, &classes, from: firstMark) }
      isDisordered = false
    }
    func add(_ scalar: Unicode.Scalar) {
      let order = UnicodeForm.combiningClass(scalar)
      if order == 0 {
        orderMarks()
        firstMark = scalars.count + 1
      } else if scalars.count > firstMark, classes[scalars.count - 1] > order {
        isDisordered = true
      }
      scalars.append(scalar)
      classes.append(order)
    }
    forEachScalar(of: bytes) { scalar in
      if Hangul.syllables.contains(scalar.value) {
        Hangul.decompose(scalar).forEach(add)
      } else if scalar.value >= 0x80, let parts = table[scalar.value] {
        parts.forEach(add)
      } else {
        add(scalar)
      }
    }
    orderMarks()
    if composes { UnicodeForm.compose(&scalars, classes) }
    var out = [UInt8]()
    out.reserveCapacity(bytes.count + bytes.count / 2)
    for scalar in scalars { append(scalar, to: &out) }
    return out
  }

  /// Sorts marks by their classes, those of one class as they came.
  private static func orderMarks(
    _ scalars: inout [Unicode.Scalar], _ classes: inout [UInt8], from first: Int
  ) {
    let order = (first..<scalars.count).sorted { (classes[$0], $0) < (classes[$1], $1) }
    let sorted = order.map { (scalars[$0], classes[$0]) }
    for (offset, item) in sorted.enumerated() {
      (scalars[first + offset], classes[first + offset]) = item
    }
  }

  private static func combiningClass(_ scalar: Unicode.Scalar) -> UInt8 {
    guard scalar.value >= 0x300 else { return 0 }
    let order = scalar.properties.canonicalCombiningClass.rawValue
    return order > 0 && UnicodeClasses.isNormalizable(scalar) ? order : 0
  }

  // MARK: Decomposition

  private static let canonicalDecompositions = decompositions {
    $0.decomposedStringWithCanonicalMapping
  }
  private static let compatibilityDecompositions = decompositions {
    $0.decomposedStringWithCompatibilityMapping
  }

  /// Full decompositions of single scalars; Hangul syllables are left to arithmetic.
  private static func decompositions(
    _ decompose: (String) -> String
  ) -> [UInt32: [Unicode.Scalar]] {
    var table = [UInt32: [Unicode.Scalar]]()
    let ranges: [ClosedRange<UInt32>] = [
      0x80...0x33FF, 0xA000...0xABFF, 0xF900...0xFFFF, 0x10000...0x1FFFF, 0x2F800...0x2FA1F,
    ]
    for value in ranges.joined() {
      guard let scalar = Unicode.Scalar(value), UnicodeClasses.isNormalizable(scalar) else {
        continue
      }
      let parts = Array(decompose(String(scalar)).unicodeScalars)
      if parts != [scalar] { table[value] = parts }
    }
    return table
  }

  // MARK: Composition

  /// Joins each starter with the marks after it that make one scalar with it.
  private static func compose(_ scalars: inout [Unicode.Scalar], _ classes: [UInt8]) {
    var kept = [Unicode.Scalar]()
    kept.reserveCapacity(scalars.count)
    var starter: Int?
    var last: UInt8 = 0
    for (scalar, order) in zip(scalars, classes) {
      if let at = starter {
        // A mark is blocked by one of its class, a starter by anything in between.
        let isBlocked = at < kept.count - 1 && last >= order
        if !isBlocked, let composed = pair(kept[at], scalar) {
          kept[at] = composed
          continue
        }
      }
      if order == 0 { starter = kept.count }
      last = order
      kept.append(scalar)
    }
    scalars = kept
  }

  /// The scalar whose canonical decomposition is the two, unless it is excluded from composition.
  private static func pair(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    guard second.value >= 0x300, UnicodeClasses.isNormalizable(second) else { return nil }
    if let syllable = Hangul.compose(first, second) { return syllable }
    switch second.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark: break
    default: return nil
    }
    // Decomposed, because Foundation does not compose every pair whose first part is composed
    // already.
    let parts =
      (canonicalDecompositions[first.value] ?? [first])
      + (canonicalDecompositions[second.value] ?? [second])
    let text = String(String.UnicodeScalarView(parts))
    let composed = Array(text.precomposedStringWithCanonicalMapping.unicodeScalars)
    guard composed.count == 1, UnicodeClasses.isNormalizable(composed[0]) else { return nil }
    return canonicalDecompositions[composed[0].value] == parts ? composed[0] : nil
  }
}

/// Hangul syllables are made of two or three letters by arithmetic (The Unicode Standard, section
/// 3.12).
private enum Hangul {
  static let syllables: ClosedRange<UInt32> = 0xAC00...0xD7A3
  private static let leading: UInt32 = 0x1100
  private static let vowel: UInt32 = 0x1161
  private static let trailing: UInt32 = 0x11A7

  static func decompose(_ syllable: Unicode.Scalar) -> [Unicode.Scalar] {
    let index = syllable.value - syllables.lowerBound
    let parts = [leading + index / 588, vowel + index % 588 / 28, trailing + index % 28]
    return (index % 28 == 0 ? parts.dropLast() : parts[...]).compactMap(Unicode.Scalar.init)
  }

  static func compose(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    if (leading..<leading + 19).contains(first.value), (vowel..<vowel + 21).contains(second.value) {
      let index = (first.value - leading) * 21 + second.value - vowel
      return Unicode.Scalar(syllables.lowerBound + index * 28)
    }
    guard syllables.contains(first.value), (first.value - syllables.lowerBound) % 28 == 0,
      (trailing + 1..<trailing + 28).contains(second.value)
    else { return nil }
    return Unicode.Scalar(first.value + second.value - trailing)
  }
}
