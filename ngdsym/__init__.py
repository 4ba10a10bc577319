from ngdsym.network import LinearNetwork
from ngdsym.prover import ProofNotFound, VacuousHypotheses, prove
from ngdsym.refute import CounterexampleNotFound, refute
from ngdsym.rule import Rule
from ngdsym.verify import verify
