import { create, toBinary } from '@bufbuild/protobuf';
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from './generated/onnx_pb.js';

/** ONNX 1.17's; every operator used here is at least as old. */
const opsetVersion = 21;
const irVersion = 10n;

export type DataType = 'float32' | 'int64' | 'int32' | 'int8' | 'uint8';

/** A dimension: a number, or a name for one that is known only when the graph runs. */
export type Dimension = number | string;

/** Where the bytes of an initializer lie: a file beside the model's own. */
export interface ExternalData {
  file: string;
  offset: number;
  length: number;
}

/** Numbers become int attributes where they are integers; name floats by `{ float }`. */
export type Attribute = number | string | number[] | { float: number };

export interface NodeOptions {
  attributes?: Record<string, Attribute>;
  /** `com.microsoft` for ONNX Runtime's own operators. */
  domain?: string;
  outputs?: string[];
  name?: string;
}

const dataTypes: Record<DataType, TensorProto_DataType> = {
  float32: TensorProto_DataType.FLOAT,
  int64: TensorProto_DataType.INT64,
  int32: TensorProto_DataType.INT32,
  int8: TensorProto_DataType.INT8,
  uint8: TensorProto_DataType.UINT8,
};

/** Builds one ONNX model, value by value. Values are names; `''` stands for an input left out. */
export class GraphBuilder {
  readonly #nodes: NodeProto[] = [];
  readonly #initializers = new Map<string, TensorProto>();
  readonly #inputs: ValueInfoProto[] = [];
  readonly #outputs: ValueInfoProto[] = [];
  #nextValue = 0;

  input(name: string, type: DataType, shape: Dimension[]): string {
    this.#inputs.push(valueInfo(name, type, shape));
    return name;
  }

  output(name: string, type: DataType, shape: Dimension[]): void {
    this.#outputs.push(valueInfo(name, type, shape));
  }

  /** Adds a node and returns the name of its first output. */
  node(operator: string, inputs: string[], options: NodeOptions = {}): string {
    const outputs = options.outputs ?? [`v${this.#nextValue++}`];
    this.#nodes.push(
      create(NodeProtoSchema, {
        opType: operator,
        domain: options.domain ?? '',
        name: options.name ?? outputs[0]!,
        input: inputs,
        output: outputs,
        attribute: Object.entries(options.attributes ?? {}).map(([name, value]) => attribute(name, value)),
      }),
    );
    return outputs[0]!;
  }

  /** A small constant that lies in the model itself. */
  constant(name: string, type: DataType, shape: number[], values: ArrayBufferView): string {
    return this.#initializer(name, type, shape, {
      rawData: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    });
  }

  /**
   * A weight that lies in a file beside the model. Asking twice for one name gives the same initializer:
   * layers that share a block name the same weights, and the runtime loads and packs them once.
   */
  external(name: string, type: DataType, shape: number[], data: ExternalData): string {
    const entry = (key: string, value: string | number) =>
      create(StringStringEntryProtoSchema, { key, value: String(value) });
    return this.#initializer(name, type, shape, {
      dataLocation: TensorProto_DataLocation.EXTERNAL,
      externalData: [
        entry('location', data.file),
        entry('offset', data.offset),
        entry('length', data.length),
      ],
    });
  }

  #initializer(name: string, type: DataType, shape: number[], data: Partial<TensorProto>): string {
    if (!this.#initializers.has(name)) {
      const tensor = create(TensorProtoSchema, { name, dataType: dataTypes[type], dims: shape.map(BigInt) });
      this.#initializers.set(name, Object.assign(tensor, data));
    }
    return name;
  }

  /** The serialized model. */
  build(name: string): Uint8Array {
    const model = create(ModelProtoSchema, {
      irVersion,
      producerName: 'foldgate',
      opsetImport: [
        { domain: '', version: BigInt(opsetVersion) },
        { domain: 'com.microsoft', version: 1n },
      ],
      graph: {
        name,
        node: this.#nodes,
        initializer: [...this.#initializers.values()],
        input: this.#inputs,
        output: this.#outputs,
      },
    });
    return toBinary(ModelProtoSchema, model);
  }
}

function valueInfo(name: string, type: DataType, shape: Dimension[]): ValueInfoProto {
  const dim = shape.map((value) => ({
    value:
      typeof value === 'number'
        ? { case: 'dimValue' as const, value: BigInt(value) }
        : { case: 'dimParam' as const, value },
  }));
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: 'tensorType', value: { elemType: dataTypes[type], shape: { dim } } } },
  });
}

function attribute(name: string, value: Attribute): AttributeProto {
  const types = AttributeProto_AttributeType;
  if (typeof value === 'string') {
    return create(AttributeProtoSchema, { name, type: types.STRING, s: new TextEncoder().encode(value) });
  }
  if (typeof value === 'number')
    return create(AttributeProtoSchema, { name, type: types.INT, i: BigInt(value) });
  if (Array.isArray(value)) {
    return create(AttributeProtoSchema, { name, type: types.INTS, ints: value.map(BigInt) });
  }
  return create(AttributeProtoSchema, { name, type: types.FLOAT, f: value.float });
}
