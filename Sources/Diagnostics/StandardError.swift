import Foundation

extension String {
  /// Line breaks and control letters, which a script or a file name can put into a message, become
  /// spaces; what is too long to be read is cut.
  public var inOneLine: String {
    let letters = unicodeScalars.map { scalar in
      scalar.properties.generalCategory == .control ? " " : Character(scalar)
    }
    return shortened(
      String(letters).split(separator: " ", omittingEmptySubsequences: true).joined(separator: " "), limit: 580)
  }
}

/// Where messages and progress go.
public enum StandardError {
  /// Writes text as it is. Nobody is left to tell if that fails, so it is then dropped; `FileHandle`
  /// would end the process.
  public static func write(_ text: String) {
    var text = text
    text.withUTF8 { bytes in
      var rest = UnsafeRawBufferPointer(bytes)
      while let start = rest.baseAddress, !rest.isEmpty {
        let count = Foundation.write(2, start, rest.count)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
      }
    }
  }
}
