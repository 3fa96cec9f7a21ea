def gaussian_codes(codes, n):
    L = torch.linalg.cholesky(torch.cov(codes.T))
    return codes.mean(0) + torch.randn(n, codes.shape[1], dtype=codes.dtype) @ L.T
