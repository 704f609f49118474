/** A child that comes by a kill point. */
import { killPoint } from '../../../src/child/kill-points.ts'

killPoint('graph')
