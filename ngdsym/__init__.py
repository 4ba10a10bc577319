from ngdsym.prover import prove
