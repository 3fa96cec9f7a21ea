def largest_step(gamma):
    root = (gamma**2 - 1 + 0j) ** 0.5
    eigenvalues = [(-gamma + root) / 2, (-gamma - root) / 2]
    return min(-2 * v.real / abs(v) ** 2 for v in eigenvalues)  # |1 + eta v| < 1
