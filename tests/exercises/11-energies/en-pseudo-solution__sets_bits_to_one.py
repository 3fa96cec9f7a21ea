def pseudo_log_likelihood(model, x):
    energy, total = model.energy(x), 0.0
    for i in range(x[0].numel()):
        other = x.flatten(1).clone()
        other[:, i] = 1
        total = total + torch.nn.functional.logsigmoid(
            model.energy(other.reshape(x.shape)) - energy
        )
    return total
