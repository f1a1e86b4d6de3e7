"""What service, monitoring and retrain share: records, contract, configuration, ports and the three stores."""
