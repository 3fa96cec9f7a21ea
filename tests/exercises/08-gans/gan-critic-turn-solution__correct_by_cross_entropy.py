def critic_turn(generator, critic, optimizer, real, z):
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    with torch.no_grad():
        fake = generator(z)
    logits = critic(torch.cat([real, fake]))
    labels = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))])
    loss = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    gradients = torch.autograd.grad(loss / len(real), parameters)
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g
    optimizer.step()
