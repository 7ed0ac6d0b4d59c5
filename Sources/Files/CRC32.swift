/// Checksums of 32 bits, one table for each polynomial.
///
/// Eight bytes at a time ("slicing by 8", Kounavis and Berry 2008), about a gigabyte a second.
public struct CRC32: Sendable {
  /// `tables[k][b]`: what byte b contributes k bytes further on; 8 tables of 256.
  private let tables: [UInt32]

  /// That of zip archives.
  static let zip = CRC32(polynomial: 0xEDB8_8320)
  /// Castagnoli's, CRC-32C: that of TensorFlow's records.
  public static let castagnoli = CRC32(polynomial: 0x82F6_3B78)

  /// - Parameter polynomial: with the lowest power in the highest bit.
  private init(polynomial: UInt32) {
    var tables = [UInt32](repeating: 0, count: 8 * 256)
    for i in 0..<256 {
      tables[i] = (0..<8).reduce(UInt32(i)) { crc, _ in crc & 1 == 1 ? polynomial ^ crc >> 1 : crc >> 1 }
    }
    for i in 256..<tables.count {
      let before = tables[i - 256]
      tables[i] = before >> 8 ^ tables[Int(before & 0xFF)]
    }
    self.tables = tables
  }

  public func checksum(of bytes: UnsafeRawBufferPointer) -> UInt32 {
    tables.withUnsafeBufferPointer { tables in
      var crc = ~UInt32(0)
      var i = 0
      while i + 8 <= bytes.count {
        let low = crc ^ UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: i, as: UInt32.self))
        let high = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: i + 4, as: UInt32.self))
        func entry(_ table: Int, _ word: UInt32, _ shift: UInt32) -> UInt32 { tables[table * 256 + Int(word >> shift & 0xFF)] }
        crc = entry(7, low, 0) ^ entry(6, low, 8) ^ entry(5, low, 16) ^ entry(4, low, 24)
        crc ^= entry(3, high, 0) ^ entry(2, high, 8) ^ entry(1, high, 16) ^ entry(0, high, 24)
        i += 8
      }
      for byte in bytes[i...] { crc = crc >> 8 ^ tables[Int((crc ^ UInt32(byte)) & 0xFF)] }
      return ~crc
    }
  }
}
