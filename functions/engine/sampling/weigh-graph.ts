// Written by scripts/weigh-graph.ts, which says what it computes.

/** Weights that are summed apart: a draw steps over such a block by one comparison. */
export const blockSize = 256;

/** An ONNX model. */
export const weighGraph: Uint8Array = Buffer.from(
  'CAoSCGZvbGRnYXRlOpYDCi0KBmxvZ2l0cwoEbGFzdBIHaGlnaGVzdBoHaGlnaGVzdCIJUmVkdWNlTWF4OgAKLwoHaGlnaGVzdBIC' +
    'djAaAnYwIglSZWR1Y2VNYXgqDwoIa2VlcGRpbXMYAKABAjoAChsKBmxvZ2l0cwoCdjASAnYxGgJ2MSIDU3ViOgAKHAoCdjEKB2lu' +
    'dmVyc2USAnYyGgJ2MiIDTXVsOgAKHQoCdjISB3dlaWdodHMaB3dlaWdodHMiA0V4cDoACigKB3dlaWdodHMKBGxhc3QSBHN1bXMa' +
    'BHN1bXMiCVJlZHVjZVN1bToAEgV3ZWlnaCoUCAEQB0IEbGFzdEoI//////////9aHwoGbG9naXRzEhUKEwgBEg8KCBIGYmxvY2tz' +
    'CgMIgAJaEQoHaW52ZXJzZRIGCgQIARIAYiAKB3dlaWdodHMSFQoTCAESDwoIEgZibG9ja3MKAwiAAmIfCgdoaWdoZXN0EhQKEggB' +
    'Eg4KCBIGYmxvY2tzCgIIAWIcCgRzdW1zEhQKEggBEg4KCBIGYmxvY2tzCgIIAUIECgAQFUIRCg1jb20ubWljcm9zb2Z0EAE=',
  'base64',
);
