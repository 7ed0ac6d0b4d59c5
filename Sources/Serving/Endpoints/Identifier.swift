import Foundation

/// What answers are called.
enum Identifier {
  /// "cmpl-3f2a..."
  static func make(_ kind: String) -> String { kind + "-" + UUID().uuidString.lowercased().replacing("-", with: "") }

  /// Seconds since 1970.
  static var now: Int { Int(Date().timeIntervalSince1970) }
}
