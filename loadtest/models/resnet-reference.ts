/**
 * Convolution and pooling in plain TypeScript over one image at a time, [channels, height, width], float64.
 * Four billion multiplications for an image of 224 pixels, a fiftieth of that for one of 32: check answers on small images.
 */
import { at, type Numbers } from './reference-math.ts'
import type { ConvSpec } from './resnet-weights.ts'

export interface Image {
  readonly channels: number
  readonly height: number
  readonly width: number
  readonly data: Numbers
}

export function convolve(image: Image, spec: ConvSpec, weight: Numbers, bias: Numbers): Image {
  const { kernel, stride, padding, outputs } = spec
  const height = outputSize(image.height, kernel, stride, padding)
  const width = outputSize(image.width, kernel, stride, padding)
  const data = new Float64Array(outputs * height * width)
  for (let out = 0; out < outputs; out += 1) {
    const plane = data.subarray(out * height * width, (out + 1) * height * width).fill(at(bias, out))
    for (let channel = 0; channel < image.channels; channel += 1) {
      const source = image.data.subarray(
        channel * image.height * image.width,
        (channel + 1) * image.height * image.width,
      )
      for (let tap = 0; tap < kernel * kernel; tap += 1) {
        const factor = at(weight, (out * image.channels + channel) * kernel * kernel + tap)
        const down = Math.floor(tap / kernel) - padding
        const right = (tap % kernel) - padding
        for (let y = 0; y < height; y += 1) {
          const row = y * stride + down
          if (row < 0 || row >= image.height) continue
          for (let x = 0; x < width; x += 1) {
            const column = x * stride + right
            if (column < 0 || column >= image.width) continue
            plane[y * width + x] = at(plane, y * width + x) + factor * at(source, row * image.width + column)
          }
        }
      }
    }
  }
  return { channels: outputs, height, width, data }
}

/** 3 x 3 windows, two apart, one row and column beyond the edge; what is beyond the edge does not count. */
export function maxPool({ channels, height, width, data }: Image): Image {
  const outHeight = outputSize(height, 3, 2, 1)
  const outWidth = outputSize(width, 3, 2, 1)
  const out = new Float64Array(channels * outHeight * outWidth).fill(Number.NEGATIVE_INFINITY)
  for (let i = 0; i < out.length; i += 1) {
    const channel = Math.floor(i / (outHeight * outWidth))
    const y = Math.floor(i / outWidth) % outHeight
    const x = i % outWidth
    for (let row = Math.max(2 * y - 1, 0); row <= Math.min(2 * y + 1, height - 1); row += 1) {
      for (let column = Math.max(2 * x - 1, 0); column <= Math.min(2 * x + 1, width - 1); column += 1) {
        out[i] = Math.max(at(out, i), at(data, (channel * height + row) * width + column))
      }
    }
  }
  return { channels, height: outHeight, width: outWidth, data: out }
}

/** The mean of every channel: [channels]. */
export function averagePool({ channels, height, width, data }: Image): Float64Array {
  const size = height * width
  return Float64Array.from({ length: channels }, (_, channel) => {
    let sum = 0
    for (let i = 0; i < size; i += 1) sum += at(data, channel * size + i)
    return sum / size
  })
}

function outputSize(size: number, kernel: number, stride: number, padding: number): number {
  return Math.floor((size + 2 * padding - kernel) / stride) + 1
}
