def gaussian_codes(codes, n):
    values, vectors = torch.linalg.eigh(torch.cov(codes.T, correction=0))
    root = vectors * values.clamp(min=0).sqrt()  # another root of the covariance
    return codes.mean(0) + torch.randn(n, codes.shape[1], dtype=codes.dtype) @ root.T
