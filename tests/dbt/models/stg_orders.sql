select id, customer_id, amount, at from {{ source('live', 'orders') }} where amount > 0
